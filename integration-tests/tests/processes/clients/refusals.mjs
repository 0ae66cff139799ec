// Sends more than is read to a server, with Node's fetch (undici), and prints each answer: client, status, type.
const [url, size, rounds, ...cases] = process.argv.slice(2);
const body = new Uint8Array(Number(size)).fill(120);

for (const [method, path] of cases.map((each) => each.split(" "))) {
	for (let round = 0; round < Number(rounds); round++) {
		const answer = await fetch(url + path, { method, body });
		console.log("undici", method, path, answer.status, (await answer.json()).type);
	}
}
