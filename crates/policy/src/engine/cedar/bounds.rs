//! Refuses Cedar texts that the parser would go down too deep in, before it sees them.
//!
//! The parser and the trees that it builds call themselves for each level; nothing there stops
//! them before the stack ends.

/// Returns where a text goes beyond a limit, and what to say of it.
pub(super) fn check(text: &str) -> Result<(), (usize, String)> {
    let (mut depth, mut operators, mut policies) = (0_usize, 0_usize, 0_usize);
    let mut bytes = text.bytes().zip(0_usize..).peekable();
    while let Some((byte, at)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((inside, _)) = bytes.next() {
                    match inside {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'/' if bytes.peek().is_some_and(|(next, _)| *next == b'/') => {
                while bytes.next_if(|(inside, _)| !matches!(inside, b'\n' | b'\r')).is_some() {}
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => {
                policies += 1;
                operators = 0;
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' => {
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                let mut end = at + 1;
                while bytes.next_if(|(inside, _)| is_word(*inside)).is_some() {
                    end += 1;
                }
                let word = text.get(at..end).unwrap_or_default();
                operators += usize::from(matches!(word, "if" | "in" | "has" | "like" | "is"));
            }
            b'+' | b'-' | b'*' | b'!' | b'.' | b'<' | b'>' | b'=' | b'&' | b'|' => operators += 1,
            _ => {}
        }
        let beyond = [
            (depth > DEPTH_MAX, DEPTH_MAX, "brackets lie in each other"),
            (operators > OPERATORS_MAX, OPERATORS_MAX, "signs of operators are in one policy"),
            (policies > POLICIES_MAX, POLICIES_MAX, "policies are in one Cedar text"),
        ];
        for (is_beyond, limit, what) in beyond {
            if is_beyond {
                return Err((at, format!("more than {limit} {what}; write it shorter")));
            }
        }
    }
    Ok(())
}

/// LIMIT: brackets in brackets.
const DEPTH_MAX: usize = 32;
/// LIMIT: signs of operators in one policy; `&&` are two.
const OPERATORS_MAX: usize = 500;
/// LIMIT: policies of one Cedar text; each is checked by itself.
const POLICIES_MAX: usize = 10_000;
