//! An upload as clients see it: in HTTP responses, on the socket and in messages.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::json;
use strum::IntoStaticStr;

use super::{
    failure::{Failure, UploadFailure},
    format::Format,
    id::UploadId,
    link::{LinkBase, Links},
    record::{UploadRecord, known_entries},
    result::UploadResult,
    thumbnail_link::ThumbnailLink,
    warning::Warning,
};

/// The state of an upload. The order is the merge order: a later state is never replaced by an earlier one.
///
/// `ready` outranks `failed`: when both are announced for one generation (a slow worker finished a job that was
/// dead-lettered meanwhile), the thumbnails are there.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Stored and posted; becomes `processing`, `ready` or `failed`.
    Queued,
    /// A worker has it; becomes `ready` or `failed`, or stays until the job is delivered again.
    Processing,
    /// The end, unless it is retried: then `queued` of the next generation.
    Failed,
    /// The end, unless it is deleted.
    Ready,
    /// It was deleted: the end of every generation.
    Gone,
}

impl State {
    /// The name on the wire and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether nothing more will happen to this generation by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, State::Failed | State::Ready | State::Gone)
    }
}

/// The whole state of one upload. A message carries all of it, so that loss, repetition and reordering are harmless.
///
/// The wire form of a deleted upload is its id, generation and state alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self")]
#[schemars(!remote, example = example(), transform = or_gone)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The generation, from 1; a retry or a replay adds one.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// Its state.
    pub state: State,
    /// The name that the client gave the file. Data only: it decides nothing.
    pub name: String,
    /// The format of the original.
    pub format: Format,
    /// The size of the original in bytes.
    pub bytes: u64,
    /// Displayed width of the original in pixels, after EXIF orientation.
    pub width: u32,
    /// Displayed height of the original in pixels, after EXIF orientation.
    pub height: u32,
    /// How many frames or pages the original has, if its header contains that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// When it was accepted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When it became ready or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: Option<Timestamp>,
    /// When it is deleted by itself, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Option<Timestamp>,
    /// A blurred impression of the picture, base64; once ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<String>,
    /// The thumbnails, smallest first; all three once ready, none before.
    #[serde(default, deserialize_with = "known_entries")]
    pub thumbnails: Vec<ThumbnailLink>,
    /// The shortcomings of the thumbnails, if there are any; only with `ready`.
    #[serde(default, deserialize_with = "known_entries", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Why it failed; only with `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Its links.
    pub links: Links,
}

/// The example of the interface descriptions: the upload of a golden message, which must decode for ever.
fn example() -> serde_json::Value {
    let golden = include_bytes!("../../golden/changed-ready.v2.json");
    let changed: serde_json::Value = serde_json::from_slice(golden).expect("golden files are JSON");
    changed["upload"].clone()
}

/// The wire form of a deleted upload.
#[derive(Serialize, Deserialize)]
struct GoneUpload {
    id: UploadId,
    #[serde(rename = "gen")]
    generation: u32,
    state: State,
}

/// The schema of an upload: all of it, or the wire form of a deleted one.
fn or_gone(schema: &mut Schema) {
    let mut whole = std::mem::take(schema);
    let states = ["queued", "processing", "failed", "ready"];
    if let Some(properties) = whole.get_mut("properties") {
        properties["state"] = json!({ "type": "string", "enum": states, "description": "Its state." });
    }
    let gone = json!({
        "type": "object",
        "description": "A deleted upload.",
        "properties": {
            "id": whole.get("properties").map(|properties| properties["id"].clone()),
            "gen": whole.get("properties").map(|properties| properties["gen"].clone()),
            "state": { "type": "string", "const": "gone" },
        },
        "required": ["id", "gen", "state"],
    });
    *schema = json_schema!({ "anyOf": [whole, gone] });
}

impl Serialize for Upload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.state {
            State::Gone => {
                let Self { id, generation, state, .. } = *self;
                GoneUpload { id, generation, state }.serialize(serializer)
            }
            _ => Self::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Upload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.get("state").is_some_and(|state| state == "gone") {
            let GoneUpload { id, generation, .. } =
                serde_json::from_value(value).map_err(D::Error::custom)?;
            return Ok(Self::gone(id, generation));
        }
        Self::deserialize(value).map_err(D::Error::custom)
    }
}

impl Upload {
    /// A deleted upload: nothing but its id and generation is known.
    #[must_use]
    pub fn gone(id: UploadId, generation: u32) -> Self {
        Self {
            id,
            generation,
            state: State::Gone,
            name: String::new(),
            format: Format::Unknown,
            bytes: 0,
            width: 0,
            height: 0,
            frames: None,
            created_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            expires_at: None,
            thumbhash: None,
            thumbnails: Vec::new(),
            warnings: Vec::new(),
            error: None,
            links: LinkBase::default().links(id),
        }
    }

    /// Whether it was deleted.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// An upload whose generation has not ended.
    #[must_use]
    pub fn queued(record: &UploadRecord, base: &LinkBase) -> Self {
        Self {
            id: record.id,
            generation: record.generation,
            state: State::Queued,
            name: record.name.clone(),
            format: record.format,
            bytes: record.bytes,
            width: record.width,
            height: record.height,
            frames: record.frames,
            created_at: record.created_at,
            ended_at: None,
            expires_at: record.expires_at,
            thumbhash: None,
            thumbnails: Vec::new(),
            warnings: Vec::new(),
            error: None,
            links: base.links(record.id),
        }
    }

    /// An upload whose thumbnails are stored.
    #[must_use]
    pub fn ready(result: &UploadResult, base: &LinkBase) -> Self {
        let id = result.record.id;
        Self {
            state: State::Ready,
            ended_at: Some(result.ended_at),
            thumbhash: Some(result.thumbhash.clone()),
            thumbnails: result.thumbnails.iter().map(|fact| ThumbnailLink::of(fact, id, base)).collect(),
            warnings: result.warnings.clone(),
            ..Self::queued(&result.record, base)
        }
    }

    /// An upload whose generation failed.
    #[must_use]
    pub fn failed(failure: &UploadFailure, base: &LinkBase) -> Self {
        Self {
            state: State::Failed,
            ended_at: Some(failure.ended_at),
            error: Some(failure.problem.clone()),
            ..Self::queued(&failure.record, base)
        }
    }

    /// The same upload while a worker has it.
    #[must_use]
    pub fn processing(mut self) -> Self {
        if self.state == State::Queued {
            self.state = State::Processing;
        }
        self
    }

    /// The same upload with links of another base.
    #[must_use]
    pub fn relink(mut self, base: &LinkBase) -> Self {
        self.links = base.links(self.id);
        for thumbnail in &mut self.thumbnails {
            thumbnail.relink(self.id, base);
        }
        self
    }

    /// The rank that the merge rule compares: `gone` first, then the generation, then the state.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        Rank { is_gone: self.is_gone(), generation: self.generation, state: self.state }
    }

    /// The merge rule: of two reports of one upload the one of the greater rank; of equals, this one.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

/// The order of reports. Its maximum is idempotent, commutative and associative, and so is merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// A deleted upload stays deleted: no generation of another report outranks it.
    is_gone: bool,
    /// Otherwise the generation decides.
    pub generation: u32,
    /// Within one generation the later state wins.
    pub state: State,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn any_state() -> impl Strategy<Value = State> {
        prop::sample::select(vec![State::Queued, State::Processing, State::Failed, State::Ready, State::Gone])
    }

    prop_compose! {
        fn any_upload()(generation in 0u32..4, state in any_state()) -> Upload {
            Upload { generation, state, ..testing::upload() }
        }
    }

    proptest! {
        #[test]
        fn merging_is_idempotent(a in any_upload()) {
            prop_assert_eq!(a.clone().merge(a.clone()), a);
        }

        #[test]
        fn merging_is_commutative(a in any_upload(), b in any_upload()) {
            prop_assert_eq!(a.clone().merge(b.clone()), b.merge(a));
        }

        #[test]
        fn merging_is_associative(a in any_upload(), b in any_upload(), c in any_upload()) {
            let left = a.clone().merge(b.clone()).merge(c.clone());
            prop_assert_eq!(left, a.merge(b.merge(c)));
        }
    }

    /// The page's tests read the same file.
    #[test]
    fn the_merge_rule_is_that_of_the_fixtures() {
        #[derive(serde::Deserialize)]
        struct Case {
            a: Report,
            b: Report,
            greater: String,
        }
        #[derive(serde::Deserialize)]
        struct Report {
            #[serde(rename = "gen")]
            generation: u32,
            state: State,
        }
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../golden/merge.json")).unwrap();
        assert!(!cases.is_empty());
        for Case { a, b, greater } in cases {
            let rank = |report: &Report| {
                let Report { generation, state } = *report;
                Upload { generation, state, ..testing::upload() }.rank()
            };
            let expected = match rank(&a).cmp(&rank(&b)) {
                std::cmp::Ordering::Less => "b",
                std::cmp::Ordering::Equal => "same",
                std::cmp::Ordering::Greater => "a",
            };
            assert_eq!(greater, expected);
        }
    }

    #[test]
    fn a_deleted_upload_travels_as_its_id_and_generation_alone() {
        let gone = Upload::gone(testing::id(), 2);
        let wire = serde_json::to_value(&gone).unwrap();
        assert_eq!(wire, json!({ "id": testing::id(), "gen": 2, "state": "gone" }));
        assert_eq!(serde_json::from_value::<Upload>(wire).unwrap(), gone);
        let whole = serde_json::to_value(testing::ready_upload()).unwrap();
        assert_eq!(serde_json::from_value::<Upload>(whole).unwrap(), testing::ready_upload());
        assert!(
            serde_json::from_value::<Upload>(json!({ "id": testing::id(), "gen": 1, "state": "ready" }))
                .is_err()
        );
    }

    #[test]
    fn links_follow_the_base() {
        let upload = testing::upload();
        let id = upload.id;
        assert_eq!(upload.links.this, format!("/uploads/{id}"));
        let moved = upload.relink(&"https://example.org/up/".parse().unwrap());
        assert_eq!(moved.links.events, format!("https://example.org/up/uploads/{id}/events"));
    }
}
