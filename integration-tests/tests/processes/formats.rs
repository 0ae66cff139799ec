//! The formats of phones and of the web: HEIC and AVIF in, WebP out.

use integration_tests::{
    patience::SOON,
    pictures,
    server::{Server, Start, id, json},
};
use serde_json::{Value, json};

/// Self-made pictures of four flat quarters.
fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../worker/heif/tests/samples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

async fn formats(server: &Server) -> Value {
    json(server.client.get(server.at("/limits")).send().await.unwrap()).await["formats"].take()
}

/// An answer to a request for a thumbnail: status, media type, ETag, `Vary` and body.
async fn thumbnail(
    server: &Server,
    path: &str,
    accept: Option<&str>,
) -> (u16, String, String, String, Vec<u8>) {
    let mut request = server.client.get(server.at(path));
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let answer = request.send().await.unwrap();
    let header = |name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let (status, kind, etag, vary) =
        (answer.status().as_u16(), header("content-type"), header("etag"), header("vary"));
    (status, kind, etag, vary, answer.bytes().await.unwrap().to_vec())
}

#[cfg(all(feature = "heic", feature = "avif"))]
#[tokio::test]
async fn heic_and_avif_go_their_whole_way() {
    let server = Start::new().start();
    assert_eq!(formats(&server).await, json!(["jpeg", "png", "gif", "webp", "bmp", "tiff", "heic", "avif"]));
    for (name, format, sides) in [
        ("plain.heic", "heic", (640, 480)),
        ("alpha.heic", "heic", (640, 480)),
        ("exif6-no-irot.heic", "heic", (640, 480)),
        ("plain.avif", "avif", (640, 480)),
        ("irot1.avif", "avif", (480, 640)),
        ("pq10.avif", "avif", (640, 480)),
    ] {
        // The bytes decide, never the name.
        let accepted = server.accepted("photo.jpg", sample(name)).await;
        assert_eq!(accepted["format"], format, "{name}");
        assert_eq!((&accepted["width"], &accepted["height"]), (&sides.0.into(), &sides.1.into()), "{name}");
        let ready = server.end(&id(&accepted), SOON).await;
        assert_eq!(ready["state"], "ready", "{name}: {ready}");
        let original =
            server.client.get(server.at(ready["links"]["original"].as_str().unwrap())).send().await.unwrap();
        assert_eq!(original.headers()["content-type"], format!("image/{format}"));
        assert_eq!(original.bytes().await.unwrap(), sample(name));
    }
    let cut = server.end(&id(&server.accepted("half.heic", sample("half.heic")).await), SOON).await;
    assert_eq!(cut["error"]["type"], "/problems/cannot-be-decoded", "{cut}");
    let problem = json(server.post("cut.heic", sample("cut60.heic")).await).await;
    assert_eq!(
        (&problem["status"], &problem["type"]),
        (&415.into(), &"/problems/damaged".into()),
        "{problem}"
    );
}

/// EXIF with a location of this latitude: three fractions.
#[cfg(feature = "heic")]
fn exif_with_location(latitude: [u8; 24]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    [
        // One directory at byte 8, the one of the location at byte 26, its value at byte 44.
        b"II*\0\x08\0\0\0\x01\0",
        &entry(0x8825, 4, 1, 26)[..],
        &[0; 4],
        &[1, 0],
        &entry(2, 5, 3, 44),
        &[0; 4],
        &latitude,
    ]
    .concat()
}

#[cfg(feature = "heic")]
#[tokio::test]
async fn the_original_of_a_heic_is_stored_without_its_location_if_the_operator_says_so() {
    let latitude: [u8; 24] = std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap());
    let item = boxed(b"free", &[b"\0\0\0\0", &exif_with_location(latitude)[..]].concat());
    let file = [sample("plain.heic"), item].concat();
    for (setting, is_kept) in [("false", true), ("true", false)] {
        let server = Start::new().variable("UP_STRIP_LOCATION", setting).start();
        let ready = server.end(&id(&server.accepted("photo.heic", file.clone()).await), SOON).await;
        assert_eq!(ready["state"], "ready", "{ready}");
        let path = ready["links"]["original"].as_str().unwrap();
        let original = server.client.get(server.at(path)).send().await.unwrap().bytes().await.unwrap();
        let has = original.windows(latitude.len()).any(|bytes| bytes == latitude);
        assert_eq!((original.len(), has), (file.len(), is_kept), "{setting}");
    }
}

/// A box with a body.
#[cfg(any(feature = "heic", feature = "avif"))]
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, body].concat()
}

#[cfg(feature = "avif")]
#[tokio::test]
async fn a_film_with_a_cover_at_its_end_is_taken_and_one_without_is_not() {
    let server = Start::new().start();
    let picture = sample("plain.avif");
    // Brands, description, pixels.
    let (brands, rest) = picture.split_at(32);
    let (meta, data) = rest.split_at(u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize);
    // The pixels stay where the description says that they are.
    let head = [boxed(b"moov", &[0; 40]), boxed(b"free", &vec![0; meta.len() - 56])].concat();
    let film = [brands, &head, data, &boxed(b"mdat", &[0; 300_000])].concat();
    let with_cover = [&film[..], meta].concat();
    let ready = server.end(&id(&server.accepted("film.avif", with_cover).await), SOON).await;
    assert_eq!((&ready["state"], &ready["width"]), (&"ready".into(), &640.into()), "{ready}");
    let problem = json(server.post("film.avif", film).await).await;
    assert_eq!(problem["type"], "/problems/unsupported-kind", "{problem}");
    assert_eq!(problem["title"], "A sequence of HEIF pictures is not supported.");
}

#[tokio::test]
async fn a_format_that_is_not_listed_is_refused_by_name() {
    let server = Start::new().with("--formats", "png,JPEG").start();
    assert_eq!(formats(&server).await, json!(["jpeg", "png"]));
    for (bytes, kind) in [
        (sample("plain.heic"), "a HEIC picture"),
        (sample("plain.avif"), "an AVIF picture"),
        (b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), "a GIF picture"),
    ] {
        let problem = json(server.post("photo", bytes).await).await;
        assert_eq!((&problem["status"], &problem["looks_like"]), (&415.into(), &kind.into()), "{problem}");
        assert_eq!(problem["title"], format!("This is {kind}, which is not accepted here."));
        assert_eq!(problem["detail"], "Accepted formats are JPEG and PNG.");
    }
    server.accepted("cat.png", pictures::tiny(1)).await;
}

#[cfg(all(feature = "heic", feature = "avif"))]
#[tokio::test]
async fn the_primary_picture_decides_and_not_the_brand() {
    let server = Start::new().with("--formats", "heic").start();
    let mut disguised = sample("plain.avif");
    while let Some(at) = disguised[..40].windows(4).position(|brand| brand == b"avif") {
        disguised[at..at + 4].copy_from_slice(b"heic");
    }
    let problem = json(server.post("photo.heic", disguised).await).await;
    assert_eq!(
        (&problem["status"], &problem["looks_like"]),
        (&415.into(), &"an AVIF picture".into()),
        "{problem}"
    );
}

#[tokio::test]
async fn a_client_that_names_webp_gets_it_and_every_other_the_rest() {
    let server = Start::new().start();
    let ready = server.end(&id(&server.accepted("cat.jpg", pictures::photograph(1).1).await), SOON).await;
    let small = &ready["thumbnails"][0];
    let path = small["url"].as_str().unwrap();
    let (webp, jpeg) = (
        thumbnail(&server, path, Some("image/avif,image/webp,*/*;q=0.8")).await,
        thumbnail(&server, path, Some("*/*")).await,
    );
    assert_eq!((webp.0, webp.1.as_str(), webp.3.as_str()), (200, "image/webp", "accept"));
    assert_eq!((jpeg.0, jpeg.1.as_str(), jpeg.3.as_str()), (200, "image/jpeg", "accept"));
    assert_ne!(webp.2, jpeg.2, "each encoding has an ETag");
    assert_eq!(thumbnail(&server, path, Some("image/webp;q=0")).await, jpeg);
    assert_eq!(thumbnail(&server, path, None).await, jpeg);
    let alternative = &small["alternatives"][0];
    assert_eq!(alternative["content_type"], "image/webp");
    assert_eq!(alternative["url"], format!("{path}.webp"));
    assert_eq!(alternative["bytes"], webp.4.len());
    assert_eq!(small["bytes"], jpeg.4.len());
    // A path with an extension serves one encoding to everybody.
    for (extension, expected) in [("webp", &webp), ("jpg", &jpeg)] {
        let found = thumbnail(&server, &format!("{path}.{extension}"), None).await;
        assert_eq!(
            (found.0, &found.1, &found.2, found.3.as_str(), &found.4),
            (200, &expected.1, &expected.2, "", &expected.4)
        );
    }
    for missing in ["png", "gif", "webp.webp", ""] {
        assert_eq!(thumbnail(&server, &format!("{path}.{missing}"), None).await.0, 404, "{missing}");
    }
    // Large costs too much, unless it is asked for.
    let large = ready["thumbnails"][2]["url"].as_str().unwrap();
    assert_eq!(ready["thumbnails"][2]["alternatives"], Value::Null);
    assert_eq!(thumbnail(&server, large, Some("image/webp")).await.1, "image/jpeg");
    let again =
        server.client.get(server.at(path)).header("Accept", "image/webp").header("If-None-Match", &webp.2);
    let again = again.send().await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()["vary"]), (304, &"accept".parse().unwrap()));
    let other = server.client.get(server.at(path)).header("If-None-Match", &webp.2).send().await.unwrap();
    assert_eq!(other.status(), 200, "the ETag of WebP is none of JPEG");
}

#[tokio::test]
async fn every_thumbnail_of_a_transparent_picture_has_a_webp_unless_there_is_none() {
    let glass = pictures::glass(700, 500);
    for (setting, expected) in [("small", true), ("none", false)] {
        let server = Start::new().with("--webp", setting).start();
        let ready = server.end(&id(&server.accepted("glass.png", glass.clone()).await), SOON).await;
        for thumbnail in ready["thumbnails"].as_array().unwrap() {
            assert_eq!(thumbnail["content_type"], "image/png");
            assert_eq!(thumbnail["alternatives"].is_array(), expected, "{setting}: {thumbnail}");
        }
    }
}
