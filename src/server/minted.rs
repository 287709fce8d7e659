//! The tokens that `token new` makes: a beginning that scanners for secrets find, 32 bytes of chance, and a check sum, so
//! that one of which a piece is missing is known before anybody tries it.
//!
//! All of it is letters, digits and one `_`, so that a double click selects the whole, and 76 characters: in the US
//! Government cloud all credentials of a job share 1 KB.

use secrecy::SecretString;

use crate::server::tokens::{digest, hex};

/// How such a token begins.
pub const PREFIX: &str = "zsb_";

const CHANCE_BYTES: usize = 32;

const SUM_BYTES: usize = 4;

/// A new token; none when the machine has no randomness to give.
pub fn new_token() -> Option<SecretString> {
    let mut bytes = [0_u8; CHANCE_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let text = format!("{PREFIX}{}", hex(&bytes));
    Some(format!("{text}{}", sum(&text)).into())
}

/// Whether this was such a token once, and a piece of it is missing or has changed.
pub fn is_damaged(token: &str) -> bool {
    let Some(rest) = token.strip_prefix(PREFIX) else { return false };
    let is_whole = rest.len() == (CHANCE_BYTES + SUM_BYTES) * 2
        && token
            .split_at_checked(token.len() - SUM_BYTES * 2)
            .is_some_and(|(text, sum_given)| sum(text) == sum_given);
    !is_whole
}

fn sum(text: &str) -> String {
    hex(digest(text.as_bytes()).get(..SUM_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_new_token_is_whole_and_another_each_time() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        let (one, other) = (one.expose_secret(), other.expose_secret());
        assert_ne!(one, other);
        for token in [one, other] {
            assert!(!is_damaged(token) && token.len() == 76, "{token}");
            let rest = token.strip_prefix("zsb_").unwrap();
            assert!(rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{token}");
        }
    }

    #[test]
    fn what_is_not_whole_is_known() {
        let token = format!("zsb_{}", "0123456789abcdef".repeat(4));
        let whole = format!("{token}{}", sum(&token));
        assert!(!is_damaged(&whole), "{whole}");
        let turned = whole.replacen("01", "10", 1);
        let cut = whole.get(..75).unwrap();
        let wide = whole.replacen('0', "ä", 1);
        for damaged in
            [&turned, cut, &wide, &format!("{whole}0"), &whole.to_uppercase().replace("ZSB", "zsb"), "zsb_"]
        {
            assert!(is_damaged(damaged), "{damaged}");
        }
        for other in ["", "zsb", "another-token", &format!(" {whole}")] {
            assert!(!is_damaged(other), "{other}");
        }
    }
}
