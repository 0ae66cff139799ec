//! The files of a form, for the page that lists them.

use askama::Template;

use crate::{problem::Problem, tokens::AcceptedUpload};

/// The accepted and refused files of a form, and the problem that ended it, if any. Attached to the answer.
#[derive(Debug, Clone)]
pub(crate) struct FormResults {
    problem: Option<String>,
    sent: Vec<SentFile>,
    refused: Vec<RefusedFile>,
}

/// An accepted file in the list.
#[derive(Debug, Clone)]
struct SentFile {
    name: String,
    link: String,
    /// Permits deleting the upload.
    token: String,
}

/// A refused file in the list.
#[derive(Debug, Clone)]
struct RefusedFile {
    name: String,
    reason: String,
}

/// The values of the template.
#[derive(Template)]
#[template(path = "results.html")]
pub(crate) struct ResultsPage {
    base: String,
    title: String,
    problem: Option<String>,
    sent: Vec<SentFile>,
    refused: Vec<RefusedFile>,
}

impl FormResults {
    /// The files of a form: the accepted ones, and the others with their names and problems.
    pub(super) fn new<'a>(
        uploads: impl IntoIterator<Item = &'a AcceptedUpload>,
        rejected: impl IntoIterator<Item = (&'a str, &'a Problem)>,
    ) -> Self {
        let sent = uploads.into_iter().map(|AcceptedUpload { upload, token }| SentFile {
            name: upload.name.clone(),
            link: upload.links.this.clone(),
            token: token.clone(),
        });
        let refused = rejected
            .into_iter()
            .map(|(name, problem)| RefusedFile { name: name.to_owned(), reason: problem.title().to_owned() });
        Self { problem: None, sent: sent.collect(), refused: refused.collect() }
    }

    /// The same, of a form that this problem ended.
    pub(super) fn ended_by(self, problem: &Problem) -> Self {
        Self { problem: Some(problem.title().to_owned()), ..self }
    }

    /// Whether a page of a single upload or problem tells less.
    pub(super) fn is_list(&self) -> bool {
        self.sent.len() + self.refused.len() > 1 || (self.problem.is_some() && !self.sent.is_empty())
    }

    /// The page.
    pub(crate) fn page(self, base: String) -> ResultsPage {
        let Self { problem, sent, refused } = self;
        let title = match sent.len() {
            0 => "No picture was uploaded.".to_owned(),
            1 => "1 picture is uploaded.".to_owned(),
            count => format!("{count} pictures are uploaded."),
        };
        ResultsPage { base, title, problem, sent, refused }
    }
}
