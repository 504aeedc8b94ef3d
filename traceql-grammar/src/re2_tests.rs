//! Patterns that mean in Go what they mean here, and those that Go refuses.

use super::compile;

#[test]
fn patterns_match_whole_strings_as_in_re2() {
    let cases = [
        ("a.c", "abc", true),
        ("a.c", "xabc", false),
        ("a.c", "a\nc", true),
        ("a|b", "b", true),
        ("a|b", "ab", false),
        ("", "", true),
        (r"\d+", "12", true),
        (r"\d+", "١٢", false),
        (r"\D", "١", true),
        (r"[\d.]+", "1.2", true),
        (r"[^\d]", "x", true),
        (r"[\D]", "1", false),
        (r"\w+", "a_1", true),
        (r"\w+", "é", false),
        (r"\W", "é", true),
        (r"\s", "\u{a0}", false),
        (r"[\s\w]+", "a b", true),
        (r"a\b.*", "a b", true),
        (r"a\b.*", "aé", true),
        (r"a\Bb", "ab", true),
        (r"[a&&b]+", "&a", true),
        (r"[+--]+", "+,-", true),
        (r"[a-c-e]+", "abc-e", true),
        (r"[a-c-e]", "d", false),
        (r"[\d-x]+", "1-x", true),
        (r"[\x41-\x43]+", "ABC", true),
        (r"[a~~b]+", "~", true),
        (r"[[a]]", "[]", true),
        (r"[[a]]", "a]", true),
        (r"[]a]+", "]a", true),
        (r"[^]a]", "b", true),
        (r"[a-]+", "a-", true),
        (r"[[:alpha:]-]+", "x-", true),
        (r"[[:alpha:]]", "é", false),
        (r"[[:^alpha:]]", "1", true),
        (r"\Qa.b*\E+", "a.b**", true),
        (r"\Qa.b", "a.b", true),
        (r"a{2,3}", "aaa", true),
        (r"a{,3}", "a{,3}", true),
        (r"a{", "a{", true),
        (r"a{2", "a{2", true),
        (r"a{2}?", "aa", true),
        (r"a*?b", "aab", true),
        (r"}", "}", true),
        (r"(?i)abc", "ABC", true),
        (r"(?i:a)b", "Ab", true),
        (r"(?P<n>x)", "x", true),
        (r"(?<n>x)", "x", true),
        (r"(?U)a+", "aa", true),
        (r"(?-s).", "\n", false),
        (r"\x41\x{42}\101", "ABA", true),
        (r"\pL\p{Greek}", "aα", true),
        (r"\PL", "1", true),
        (r"\/\-\_\#", "/-_#", true),
        (r"#  b", "#  b", true),
        (r"^a$", "a", true),
        (r"\Aa\z", "a", true),
    ];
    for (pattern, text, expected) in cases {
        let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(regex.is_match(text), expected, "{pattern} on {text:?}");
    }
}

#[test]
fn what_re2_refuses_is_refused() {
    let refused = [
        "(",
        ")",
        "a)(b",
        "[",
        "[a",
        "[a-",
        "[z-a]",
        "[a--b]",
        r"[+-\d]",
        "*",
        "a**",
        "a+*",
        "a??*",
        "a{2}{3}",
        "a{1001}",
        "a{2,1001}",
        "a{3,2}",
        r"(x)\1",
        r"\Z",
        r"\e",
        r"\_x\8",
        "(?=x)",
        "(?!x)",
        "(?<=x)",
        "(?x)a",
        "(?u)a",
        "(?P=n)",
        "(?P<n",
        r"\p{Nope}",
        "a\\",
        r"\x{110000}",
        "[\\Q]",
    ];
    for pattern in refused {
        assert!(compile(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_pattern_that_grows_too_large_is_refused() {
    assert!(compile("(((a{1000}){1000}){1000})").is_err());
}
