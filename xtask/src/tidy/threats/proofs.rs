//! What may stand as a proof: a test, or a case of a suite, that the test command always runs.
//!
//! It reads sources and runs nothing. A case counts by where its name stands: as the first argument
//! of something called `case`, or in the table of attacks, whose second column says whether the
//! short form has it.

use std::collections::BTreeMap;

use syn::parse::{Parse, ParseStream};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, LitBool, LitStr, Token};

use super::super::tree::Tree;

/// The cases of each suite, with whether the short form runs them, and the sources with the tests.
pub(super) struct Proofs<'tree> {
    tree: &'tree Tree,
    suites: BTreeMap<&'tree str, Names>,
}

/// Names, each with whether it always runs.
type Names = BTreeMap<String, bool>;

impl<'tree> Proofs<'tree> {
    /// Reads the cases of all suites.
    pub(super) fn of(tree: &'tree Tree) -> Self {
        let mut suites: BTreeMap<&str, Names> = BTreeMap::new();
        for (path, file) in &tree.rust {
            let Some(suite) = path.strip_prefix(SUITES).and_then(|rest| rest.split('/').next())
            else {
                continue;
            };
            let mut cases = Cases::default();
            cases.visit_file(file);
            let all = suites.entry(suite.trim_end_matches(".rs")).or_default();
            cases.found.into_iter().for_each(|(name, always)| note(all, name, always));
        }
        Self { tree, suites }
    }

    /// Says what keeps a text from being a proof: `crates/x/tests/it/y.rs::name`, or
    /// `suite abuse: case`.
    pub(super) fn fault(&self, proof: &str) -> Option<String> {
        let (always, place) = if let Some((suite, case)) =
            proof.strip_prefix("suite ").and_then(|it| it.split_once(": "))
        {
            let cases = self.suites.get(suite);
            (cases.and_then(|cases| cases.get(case).copied()), "its suite's short form")
        } else {
            let (path, name) = proof.split_once("::").unwrap_or((proof, ""));
            if !is_tested(path) {
                return Some(format!("the test command runs no tests of `{path}`"));
            }
            let file = self.tree.rust.get(path);
            (file.and_then(|file| tests(file).get(name).copied()), "the test command")
        };
        match always {
            None => Some(format!("there is no test `{proof}`")),
            Some(false) => Some(format!("`{proof}` is not run by {place}")),
            Some(true) => None,
        }
    }
}

/// Tells whether a file can hold a test that the test command runs.
fn is_tested(path: &str) -> bool {
    let is_ours = ["crates/", "e2e/", "xtask/"].iter().any(|folder| path.starts_with(folder));
    is_ours && (path.contains("/src/") || path.contains("/tests/it/"))
}

fn tests(file: &syn::File) -> Names {
    let mut found = Tests::default();
    found.visit_file(file);
    found.0
}

/// A name that stands twice always runs if one of its places does.
fn note(names: &mut Names, name: String, always: bool) {
    *names.entry(name).or_default() |= always;
}

/// Functions that are marked as tests, by whatever runtime, with whether they are not ignored.
#[derive(Default)]
struct Tests(Names);

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let mut marks = item.attrs.iter().filter_map(|mark| mark.path().segments.last());
        if marks.any(|mark| mark.ident == "test") {
            let is_ignored = item.attrs.iter().any(ignores);
            note(&mut self.0, item.sig.ident.to_string(), !is_ignored);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        if invoked.path.is_ident("proptest")
            && let Ok(Properties(names)) = invoked.parse_body()
        {
            names.into_iter().for_each(|(name, always)| note(&mut self.0, name, always));
        }
    }
}

/// Tells whether an attribute ignores a test, always or on some machines.
fn ignores(mark: &Attribute) -> bool {
    let is_conditional = mark.path().is_ident("cfg_attr");
    let list = || mark.meta.require_list().map(|list| list.tokens.to_string());
    mark.path().is_ident("ignore")
        || is_conditional && list().is_ok_and(|tokens| tokens.contains("ignore"))
}

/// Cases of a suite; those that only stand where it was asked for the form are of the long one.
#[derive(Default)]
struct Cases {
    found: Names,
    choices: usize,
}

impl Cases {
    fn note(&mut self, argument: Option<&Expr>) {
        if let Some(Expr::Lit(literal)) = argument
            && let Lit::Str(name) = &literal.lit
        {
            note(&mut self.found, name.value(), self.choices == 0);
        }
    }

    fn below(&mut self, condition: &Expr, visit: impl FnOnce(&mut Self)) {
        let mut form = Form::default();
        form.visit_expr(condition);
        self.choices += usize::from(form.is_asked);
        visit(self);
        self.choices -= usize::from(form.is_asked);
    }
}

impl<'ast> Visit<'ast> for Cases {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "case" {
            self.note(call.args.first());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func
            && path.path.segments.last().is_some_and(|name| name.ident == "case")
        {
            self.note(call.args.first());
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_if(&mut self, choice: &'ast syn::ExprIf) {
        self.below(&choice.cond, |cases| visit::visit_expr_if(cases, choice));
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        self.below(&choice.expr, |cases| visit::visit_expr_match(cases, choice));
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        if invoked.path.is_ident("attack")
            && let Ok(attack) = invoked.parse_body::<Attack>()
        {
            note(&mut self.found, attack.name.value(), attack.is_short.value());
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // What the tests of a suite's own parts call a case is none of the suite.
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }
}

/// Whether an expression asks for the form of the run.
#[derive(Default)]
struct Form {
    is_asked: bool,
}

impl<'ast> Visit<'ast> for Form {
    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.is_asked |= name == "is_short";
    }
}

/// The tests inside `proptest!`, whose parameters are no Rust.
struct Properties(Names);

impl Parse for Properties {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut names = Names::new();
        let mut marks = Vec::new();
        input.step(|cursor| {
            let mut rest = *cursor;
            while let Some((_, behind)) = rest.token_tree() {
                if let Some((sign, next)) = rest.punct()
                    && sign.as_char() == '#'
                    && let Some((mark, ..)) = next.any_group()
                    && let Some((word, _)) = mark.ident()
                {
                    marks.push(word.to_string());
                }
                if let Some((word, next)) = rest.ident()
                    && word == "fn"
                    && let Some((name, _)) = next.ident()
                {
                    let has = |mark: &str| marks.iter().any(|it| it == mark);
                    if has("test") {
                        note(&mut names, name.to_string(), !has("ignore"));
                    }
                    marks.clear();
                }
                rest = behind;
            }
            Ok(((), rest))
        })?;
        Ok(Self(names))
    }
}

/// The beginning of a line of the table of attacks.
struct Attack {
    name: LitStr,
    is_short: LitBool,
}

impl Parse for Attack {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![,]>()?;
        let is_short = input.parse()?;
        // The other columns do not matter, but nothing may be left over.
        input.step(|cursor| {
            let mut rest = *cursor;
            while let Some((_, behind)) = rest.token_tree() {
                rest = behind;
            }
            Ok(((), rest))
        })?;
        Ok(Self { name, is_short })
    }
}

const SUITES: &str = "e2e/src/suite/";

#[cfg(test)]
mod tests {
    use super::super::super::tree::tree;
    use super::*;

    const IT: &str = "crates/a/tests/it/b.rs";

    fn fault(path: &str, source: &str, proof: &str) -> Option<String> {
        Proofs::of(&tree(&[(path, source)])).fault(proof)
    }

    #[test]
    fn a_test_that_may_be_ignored_is_no_proof() {
        let holds = |marks: &str| {
            let source = format!("//! x\n{marks}\nasync fn it_holds() {{}}\nfn other() {{}}");
            fault(IT, &source, "crates/a/tests/it/b.rs::it_holds")
        };
        assert_eq!(holds("#[test]"), None);
        assert_eq!(holds("#[tokio::test(start_paused = true)]"), None);
        for marks in
            ["#[test]\n#[ignore = \"slow\"]", "#[cfg_attr(not(unix), ignore)]\n#[tokio::test]"]
        {
            assert!(holds(marks).unwrap().contains("is not run by the test command"), "{marks}");
        }
        assert!(holds("").unwrap().contains("there is no test"));
    }

    #[test]
    fn a_property_is_a_test_too() {
        let source = r#"//! x
            proptest! {
                #[test]
                fn it_holds(n in ignore()) { test(n) }
                #[test]
                #[ignore]
                fn it_may(a in b()) {}
                fn helps(c in d()) {}
            }"#;
        let found = |name: &str| fault(IT, source, &format!("{IT}::{name}"));
        assert_eq!(found("it_holds"), None);
        assert!(found("it_may").is_some() && found("helps").is_some());
    }

    #[test]
    fn a_test_that_the_test_command_leaves_out_is_no_proof() {
        let source = "//! x\n#[test]\nfn it_holds() {}";
        for path in ["fuzz/src/lib.rs", "crates/a/benches/b.rs", "crates/a/examples/b.rs"] {
            let found = fault(path, source, &format!("{path}::it_holds"));
            assert!(found.unwrap().contains("runs no tests"), "{path}");
        }
        assert_eq!(fault("crates/a/src/b.rs", source, "crates/a/src/b.rs::it_holds"), None);
    }

    #[test]
    fn an_attack_of_the_long_form_or_of_another_suite_is_no_proof() {
        let table = r#"//! x
            const ATTACKS: &[Attack] = &[
                attack!("flood", true, CUT, |t, y| flood(t, y, None)),
                attack!("drip", false, &["closed"], drip),
            ];"#;
        let found = |proof: &str| fault("e2e/src/suite/abuse/attacks.rs", table, proof);
        assert_eq!(found("suite abuse: flood"), None);
        assert!(found("suite abuse: drip").unwrap().contains("not run by its suite's short form"));
        for none in ["suite abuse: closed", "suite faults: flood", "suite abuse", "flood"] {
            assert!(found(none).is_some(), "{none}");
        }
    }

    #[test]
    fn only_what_is_a_case_counts_as_one() {
        let suite = r#"//! x
            async fn run(effort: Effort, report: &mut Report) {
                report.figure("a figure", 1);
                report.case("told", Box::pin(told()).await);
                all.push(case("made", Expected::Served, |mint| mint.show()));
                if effort.is_short {
                    report.case("asked for", Ok(()));
                }
                if more {
                    report.case("on some machines", Ok(()));
                }
                ensure!(true, "a text");
            }
            mod tests {
                fn one() { report.case("tried", Ok(())); }
            }"#;
        let found =
            |case: &str| fault("e2e/src/suite/faults.rs", suite, &format!("suite faults: {case}"));
        for case in ["told", "made", "on some machines"] {
            assert_eq!(found(case), None, "{case}");
        }
        for none in ["a figure", "a text", "asked for", "tried"] {
            assert!(found(none).is_some(), "{none}");
        }
    }
}
