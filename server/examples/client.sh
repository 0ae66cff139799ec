#!/bin/sh
# Uploads a picture, follows its events, and saves the three thumbnails. Needs curl and a POSIX shell.
#
#     client.sh FILE DIRECTORY [SERVER]
#
# SERVER is the URL of an up! server; the default is http://127.0.0.1:8080. PROTOCOL.md, in the directory above,
# describes every request that is made here.
#
# Exit codes: 0 the thumbnails are saved; 1 the picture was refused or failed; 2 the server could not be reached, or
# the upload did not end in time; 64 the command line is wrong.
set -u

# Seconds that the upload may take to end, and how many streams of events are tried one after the other.
deadline=300
streams=30

fail() {
    code=$1
    shift
    echo "client.sh: $*" >&2
    exit "$code"
}

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: client.sh FILE DIRECTORY [SERVER]" >&2
    exit 64
fi
file=$1 directory=$2 server=${3:-http://127.0.0.1:8080}
server=${server%/}
[ -f "$file" ] || fail 64 "$file is not a file"
mkdir -p "$directory" || fail 2 "could not make $directory"
scratch=$(mktemp -d) || fail 2 "could not make a temporary directory"
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# The title of a problem (RFC 9457), or the whole answer.
title() {
    sed -n 's/.*"title":"\([^"]*\)".*/\1/p' "$scratch/answer" | head -n 1 | grep . || cat "$scratch/answer"
}

# `Accept: text/plain` asks for the bare URL of the upload. curl repeats a request after 408, 429, 500, 502, 503 and 504,
# and waits for Retry-After. With the key a repeated request makes no second upload. After 409 key-in-use or 507 this
# program gives up with exit code 2; PROTOCOL.md says how to repeat these.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
status=$(curl -sS --retry 5 --max-time "$deadline" -o "$scratch/answer" -w '%{http_code}' \
    -H 'Accept: text/plain' -H "Idempotency-Key: $key" -T "$file" "$server/uploads/") \
    || fail 2 "could not reach $server"
case $status in
    202) upload=$(head -n 1 "$scratch/answer") ;;
    5?? | 408 | 409 | 429) fail 2 "$status: $(title)" ;;
    *) fail 1 "$status: $(title)" ;;
esac

# The stream ends with the upload. A stream that ends earlier was cut: by a proxy, or by a server that drains.
ends=$(($(date +%s) + deadline))
state=
while [ "$state" != thumbnail-ready ] && [ "$state" != upload-failed ]; do
    [ "$(date +%s)" -lt "$ends" ] && [ "$streams" -gt 0 ] || fail 2 "$upload did not end in time"
    streams=$((streams - 1))
    curl -sSN --fail --max-time 60 "$upload/events" >"$scratch/events" 2>"$scratch/error"
    state=$(sed -n 's/^event: *//p' "$scratch/events" | tail -n 1)
    case $state in
        thumbnail-ready | upload-failed) ;;
        *) sleep 2 ;;
    esac
done
if [ "$state" = upload-failed ]; then
    sed -n 's/^data: *//p' "$scratch/events" | tail -n 1 >"$scratch/answer"
    fail 1 "$upload failed: $(title)"
fi

for size in small medium large; do
    type=$(curl -sS --fail --retry 5 --max-time 60 -o "$scratch/$size" -w '%{content_type}' "$upload/$size") \
        || fail 2 "could not read $upload/$size"
    case $type in
        image/png) saved=$directory/$size.png ;;
        *) saved=$directory/$size.jpg ;;
    esac
    mv "$scratch/$size" "$saved" || fail 2 "could not write $saved"
    echo "$saved"
done
