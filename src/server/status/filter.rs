//! Which requests are to be shown: what a form of the status page asks, or a link.

use form_urlencoded::Serializer;

use crate::server::operations::Operation;

/// So many requests stand on one page.
const PAGE: usize = 100;

/// A longer search finds nothing anyway.
const MOST_CHARS: usize = 256;

/// Seconds between two loads when the page refreshes itself.
pub(super) const REFRESH_SECS: u32 = 10;

/// The question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Somewhere in the request id, the person's id, the operation, who asked or the reason.
    pub(super) text: String,
    pub(super) operation: String,
    pub(super) outcome: Shown,
    pub(super) page: usize,
    pub(super) refreshes: bool,
}

/// By what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shown {
    #[default]
    All,
    Failed,
    Status(u16),
}

impl Shown {
    /// Everything that can be asked for: the value in a form, and its name.
    pub(super) const ALL: [(&str, &str, Self); 6] = [
        ("", "all", Self::All),
        ("failed", "failed", Self::Failed),
        ("2", "2xx, done", Self::Status(2)),
        ("3", "3xx, unchanged", Self::Status(3)),
        ("4", "4xx, refused", Self::Status(4)),
        ("5", "5xx, trouble", Self::Status(5)),
    ];

    fn value(self) -> &'static str {
        Self::ALL.iter().find(|(_, _, shown)| *shown == self).map_or("", |(value, _, _)| value)
    }
}

impl Filter {
    /// What is not understood is not asked.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "q" => filter.text = value.trim().chars().take(MOST_CHARS).collect(),
                "operation" => filter.operation = value.chars().take(MOST_CHARS).collect(),
                "show" => {
                    let shown = Shown::ALL.iter().find(|(known, _, _)| *known == value);
                    filter.outcome = shown.map(|(_, _, shown)| *shown).unwrap_or_default();
                }
                "page" => filter.page = value.parse().unwrap_or_default(),
                "refresh" => filter.refreshes = value == "on",
                _ => {}
            }
        }
        filter
    }

    /// The address at which the page answers this question.
    pub(super) fn link(&self) -> String {
        let mut query = Serializer::new(String::new());
        let page = if self.page == 0 { String::new() } else { self.page.to_string() };
        let refresh = if self.refreshes { "on" } else { "" };
        let pairs = [
            ("q", &*self.text),
            ("operation", &self.operation),
            ("show", self.outcome.value()),
            ("page", &page),
            ("refresh", refresh),
        ];
        query.extend_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// Whether some are left out.
    pub(super) fn chooses(&self) -> bool {
        !self.text.is_empty() || !self.operation.is_empty() || self.outcome != Shown::All
    }

    pub(super) fn wants(&self, operation: &Operation) -> bool {
        let status = operation.status.map(|status| status.as_u16() / 100);
        let outcome = match self.outcome {
            Shown::All => true,
            Shown::Failed => operation.has_failed(),
            Shown::Status(class) => status == Some(class),
        };
        let named = self.operation.is_empty() || operation.name == self.operation;
        outcome && named && (self.text.is_empty() || self.finds(operation))
    }

    fn finds(&self, operation: &Operation) -> bool {
        let text = self.text.to_lowercase();
        let Operation { request_id, client_request_id, id, reason, who, name, .. } = operation;
        let optional = [client_request_id, id, reason].into_iter().flatten().map(String::as_str);
        let mut texts = optional.chain([request_id.as_str(), who.as_str(), *name]);
        texts.any(|part| part.to_lowercase().contains(&text))
    }

    /// Of so many, those on the page that is asked for; and whether there are older ones.
    pub(super) fn cut<T>(&self, wanted: Vec<T>) -> (Vec<T>, bool) {
        let before = self.page.saturating_mul(PAGE);
        let more = wanted.len() > before.saturating_add(PAGE);
        (wanted.into_iter().skip(before).take(PAGE).collect(), more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_asks_the_same_again() {
        for query in
            ["", "q=auth0%7C1+%26+%22x%22&operation=patch-user&show=failed&page=3&refresh=on", "show=5"]
        {
            let filter = Filter::parse(Some(query));
            let link = filter.link();
            assert_eq!(Filter::parse(link.split_once('?').map(|(_, query)| query)), filter, "{link}");
        }
        assert_eq!(Filter::parse(Some("show=nonsense&page=-1&x=y&refresh=1&q=%ff")).outcome, Shown::All);
        assert_eq!(Filter::parse(None).link(), "/");
    }

    #[test]
    fn pages_follow_each_other() {
        let on_page = |page| {
            let (shown, more) = Filter { page, ..Filter::default() }.cut((0..250).collect());
            (shown.first().copied(), shown.len(), more)
        };
        assert_eq!(on_page(0), (Some(0), 100, true));
        assert_eq!(on_page(2), (Some(200), 50, false));
        assert_eq!(on_page(usize::MAX), (None, 0, false));
    }
}
