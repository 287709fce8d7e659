//! The grammar of filters and attribute paths (RFC 7644 figures 1 and 7), as one parser: text in, a tree of
//! words with their positions out. It knows no attribute; what the words mean is for `path` and `filter`.
//!
//! Beyond the RFC it reads what Entra sends: a sub-attribute or a comparison behind a bracket
//! (`emails[type eq "work"].value eq "x"`), and values without quotes.

use winnow::combinator::{alt, cut_err, opt, repeat, separated};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{any, literal, none_of, take_while};

/// How large a query may be. Evaluation time and stack depth follow from these and from nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_chars: usize,
    /// Parentheses and brackets within each other.
    pub max_depth: usize,
    /// Comparisons.
    pub max_terms: usize,
    /// Names in `attributes`, and in `excludedAttributes`.
    pub max_attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_chars: 4096, max_depth: 16, max_terms: 100, max_attributes: 200 }
    }
}

/// What is wrong, and at which byte of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) at: usize,
    pub(super) message: String,
}

/// An attribute as it is written. Only `name` may hold a URN and dots.
#[derive(Debug)]
pub(super) struct RawPath<'a> {
    pub(super) at: usize,
    pub(super) name: &'a str,
    pub(super) filter: Option<Box<RawFilter<'a>>>,
    /// What follows the bracket, with its position.
    pub(super) sub: Option<(usize, &'a str)>,
}

/// A filter as it is written.
#[derive(Debug)]
pub(super) enum RawFilter<'a> {
    Compare { path: RawPath<'a>, operator: Operator, value: RawValue<'a>, at: usize },
    Present(RawPath<'a>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
}

/// A value to compare with; its type follows from the attribute.
#[derive(Debug)]
pub(super) enum RawValue<'a> {
    Quoted(String),
    Bare(&'a str),
}

/// The comparisons of RFC 7644 table 3; `pr` is a kind of filter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Operator {
    const ALL: [Self; 9] =
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str().eq_ignore_ascii_case(name))
    }
}

/// Reads a whole filter.
pub(super) fn parse_filter<'a>(text: &'a str, limits: &Limits) -> Result<RawFilter<'a>, Problem> {
    run(disjunction, "`and`, `or` or the end", text, limits)
}

/// Reads a whole path.
pub(super) fn parse_path<'a>(text: &'a str, limits: &Limits) -> Result<RawPath<'a>, Problem> {
    run(path, "the end of the path", text, limits)
}

impl Problem {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The first character has column 1.
    pub(super) fn column(&self, text: &str) -> usize {
        text.char_indices().take_while(|(at, _)| *at < self.at).count() + 1
    }
}

type Input<'a> = Stateful<LocatingSlice<&'a str>, Budget>;
type Parsed<T> = ModalResult<T, Problem>;

/// What is left of the limits.
#[derive(Clone, Copy, Debug)]
struct Budget {
    depth: usize,
    terms: usize,
}

impl<'a> ParserError<Input<'a>> for Problem {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self::new(input.current_token_start(), String::new())
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

fn run<'a, T>(
    mut parser: impl FnMut(&mut Input<'a>) -> Parsed<T>,
    end: &str,
    text: &'a str,
    limits: &Limits,
) -> Result<T, Problem> {
    if text.chars().nth(limits.max_chars).is_some() {
        return Err(Problem::new(0, format!("it is longer than {} characters", limits.max_chars)));
    }
    let state = Budget { depth: limits.max_depth, terms: limits.max_terms };
    let mut input = Stateful { input: LocatingSlice::new(text), state };
    let stopped = |error: ErrMode<Problem>| {
        error.into_inner().unwrap_or_else(|_| Problem::new(text.len(), "it ends too early"))
    };
    blanks(&mut input).map_err(stopped)?;
    let tree = parser(&mut input).map_err(stopped)?;
    blanks(&mut input).map_err(stopped)?;
    if input.eof_offset() == 0 { Ok(tree) } else { expected(&input, end).map_err(stopped) }
}

/// The committed error: no other reading of the text is tried.
fn expected<T>(input: &Input<'_>, what: &str) -> Parsed<T> {
    let found: String = input.input.chars().take_while(|c| !c.is_whitespace()).take(20).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
    fail(input, format!("expected {what}, found {found}"))
}

fn fail<T>(input: &Input<'_>, message: String) -> Parsed<T> {
    Err(ErrMode::Cut(Problem::new(input.current_token_start(), message)))
}

/// `or` binds weaker than `and`: RFC 7644 section 3.4.2.2.
fn disjunction<'a>(input: &mut Input<'a>) -> Parsed<RawFilter<'a>> {
    let terms = separated(1.., cut_err(conjunction), keyword("or")).parse_next(input)?;
    Ok(joined(terms, RawFilter::Or))
}

fn conjunction<'a>(input: &mut Input<'a>) -> Parsed<RawFilter<'a>> {
    let terms = separated(1.., cut_err(term), keyword("and")).parse_next(input)?;
    Ok(joined(terms, RawFilter::And))
}

fn joined<'a>(mut terms: Vec<RawFilter<'a>>, join: fn(Vec<RawFilter<'a>>) -> RawFilter<'a>) -> RawFilter<'a> {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            join(terms)
        }
        None => join(terms),
    }
}

fn term<'a>(input: &mut Input<'a>) -> Parsed<RawFilter<'a>> {
    blanks(input)?;
    if opt(literal('(')).parse_next(input)?.is_some() {
        return enclosed(input, ')');
    }
    if opt((keyword("not"), blanks, '(')).parse_next(input)?.is_some() {
        return enclosed(input, ')').map(|inner| RawFilter::Not(Box::new(inner)));
    }
    comparison(input)
}

/// The filter up to `end`, one level deeper.
fn enclosed<'a>(input: &mut Input<'a>, end: char) -> Parsed<RawFilter<'a>> {
    let Some(depth) = input.state.depth.checked_sub(1) else {
        return fail(input, "its parentheses and brackets are nested too deeply".into());
    };
    input.state.depth = depth;
    let inner = disjunction(input)?;
    input.state.depth += 1;
    blanks(input)?;
    if opt(literal(end)).parse_next(input)?.is_none() {
        return expected(input, &format!("`and`, `or` or `{end}`"));
    }
    Ok(inner)
}

fn comparison<'a>(input: &mut Input<'a>) -> Parsed<RawFilter<'a>> {
    let Some(terms) = input.state.terms.checked_sub(1) else {
        return fail(input, "it has too many comparisons".into());
    };
    input.state.terms = terms;
    let path = path(input)?;
    let before = input.checkpoint();
    blanks(input)?;
    let start = input.checkpoint();
    let word = word(input)?;
    if word.eq_ignore_ascii_case("pr") {
        return Ok(RawFilter::Present(path));
    }
    if let Some(operator) = Operator::by_name(word) {
        blanks(input)?;
        let at = input.current_token_start();
        return Ok(RawFilter::Compare { path, operator, value: value(input)?, at });
    }
    if path.filter.is_some() && path.sub.is_none() {
        // `emails[type eq "work"]` is a whole filter; what follows is for the caller.
        input.reset(&before);
        return Ok(RawFilter::Present(path));
    }
    input.reset(&start);
    expected(input, "one of eq, ne, co, sw, ew, gt, ge, lt, le, pr")
}

fn path<'a>(input: &mut Input<'a>) -> Parsed<RawPath<'a>> {
    let at = input.current_token_start();
    let name = name(input)?;
    if name.is_empty() {
        return expected(input, "an attribute");
    }
    if opt(literal('[')).parse_next(input)?.is_none() {
        return Ok(RawPath { at, name, filter: None, sub: None });
    }
    let filter = Some(Box::new(enclosed(input, ']')?));
    let sub = if opt(literal('.')).parse_next(input)?.is_some() {
        Some((input.current_token_start(), name_or(input, "a sub-attribute")?))
    } else {
        None
    };
    Ok(RawPath { at, name, filter, sub })
}

fn name_or<'a>(input: &mut Input<'a>, what: &str) -> Parsed<&'a str> {
    let name = name(input)?;
    if name.is_empty() { expected(input, what) } else { Ok(name) }
}

/// A URN may hold nearly anything, so a name ends only where the grammar goes on.
fn name<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(0.., |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | '[' | ']' | '"' | ','))
        .parse_next(input)
}

/// A JSON string, or anything up to a blank or a closing sign.
fn value<'a>(input: &mut Input<'a>) -> Parsed<RawValue<'a>> {
    if input.input.starts_with('"') {
        return quoted(input).map(RawValue::Quoted);
    }
    let bare = take_while(0.., |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | '[' | ']' | '"'))
        .parse_next(input)?;
    if bare.is_empty() { expected(input, "a value") } else { Ok(RawValue::Bare(bare)) }
}

fn quoted(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.checkpoint();
    let text = (any, string_body, '"').take().parse_next(input);
    let Ok(text) = text else {
        input.reset(&start);
        return fail(input, "the text has no closing quote".into());
    };
    if let Ok(text) = serde_json::from_str(text) {
        return Ok(text);
    }
    input.reset(&start);
    fail(input, "the quoted text is not a JSON string: escape `\\` and control characters".into())
}

/// Everything up to the quote that closes, not one that is escaped.
fn string_body(input: &mut Input<'_>) -> Parsed<()> {
    repeat(0.., alt((('\\', any).void(), none_of(['"', '\\']).void()))).parse_next(input)
}

/// Operators and keywords are read in any case.
fn keyword<'a>(wanted: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Problem>> {
    (blanks, word.verify(move |word: &str| word.eq_ignore_ascii_case(wanted))).void()
}

fn word<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    take_while(0.., |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '$'))
        .parse_next(input)
}

fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let limits = Limits { max_chars: 60, max_depth: 3, max_terms: 4, ..Limits::default() };
        let problem = parse_filter(text, &limits).map(|tree| panic!("{text}: {tree:?}")).unwrap_err();
        format!("{}: {}", problem.column(text), problem.message)
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let table = [
            ("", "1: expected an attribute, found nothing"),
            ("userName", "9: expected one of eq, ne, co, sw, ew, gt, ge, lt, le, pr, found nothing"),
            ("userName is \"x\"", "10: expected one of eq, ne, co, sw, ew, gt, ge, lt, le, pr, found `is`"),
            ("userName eq", "12: expected a value, found nothing"),
            ("userName eq \"x", "13: the text has no closing quote"),
            (
                "userName eq \"\\x\"",
                "13: the quoted text is not a JSON string: escape `\\` and control characters",
            ),
            ("ü eq \"ü\" und b pr", "10: expected `and`, `or` or the end, found `und`"),
            ("a pr and", "9: expected an attribute, found nothing"),
            ("a pr or and b pr", "13: expected one of eq, ne, co, sw, ew, gt, ge, lt, le, pr, found `b`"),
            ("(a pr", "6: expected `and`, `or` or `)`, found nothing"),
            ("a[b pr", "7: expected `and`, `or` or `]`, found nothing"),
            ("a[b pr].", "9: expected a sub-attribute, found nothing"),
            ("a[b pr].c", "10: expected one of eq, ne, co, sw, ew, gt, ge, lt, le, pr, found nothing"),
            ("a pr)", "5: expected `and`, `or` or the end, found `)`"),
            ("not a pr", "5: expected one of eq, ne, co, sw, ew, gt, ge, lt, le, pr, found `a`"),
        ];
        for (text, expected) in table {
            assert_eq!(problem(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_hold() {
        assert_eq!(problem(&format!("a eq \"{}\"", "x".repeat(60))), "1: it is longer than 60 characters");
        assert_eq!(problem("((((a pr))))"), "5: its parentheses and brackets are nested too deeply");
        assert_eq!(problem("((a[(b pr)]))"), "6: its parentheses and brackets are nested too deeply");
        assert_eq!(problem("a pr or a pr or a pr or a pr or a pr"), "33: it has too many comparisons");
        let limits = Limits { max_chars: 9, ..Limits::default() };
        assert!(parse_filter("a eq \"üü\"", &limits).is_ok());
        let siblings = "((a pr)) and ((a pr)) and ((a pr))";
        assert!(parse_filter(siblings, &Limits { max_depth: 2, ..Limits::default() }).is_ok());
    }

    #[test]
    fn a_hundred_thousand_parentheses_do_no_harm() {
        let text = "(".repeat(100_000);
        let limits = Limits { max_chars: usize::MAX, ..Limits::default() };
        assert!(parse_filter(&text, &limits).is_err());
    }
}
