//! `palisade bench inspect`: what parsing and searching clean payloads costs, by size and shape.

use std::process::ExitCode;

use anyhow::ensure;
use inspect::{Dlp, DlpSpec, Document, Limits, Outcome};
use serde::Serialize;

use super::load;
use super::timing::{self, Spread};
use crate::output::Output;

/// The figures for one payload.
#[derive(Debug, Serialize)]
struct Row {
    payload: &'static str,
    bytes: usize,
    parse_ns: Option<Spread>,
    search_ns: Option<Spread>,
    /// Parsing and searching together.
    us_per_kib: Option<f64>,
}

/// Measures and prints.
pub(super) fn run(out: &Output) -> anyhow::Result<ExitCode> {
    let dlp = Dlp::compile(&DlpSpec::default())?;
    let rows: Vec<Row> = corpus()
        .into_iter()
        .map(|(payload, text)| measure(&dlp, payload, &text))
        .collect::<anyhow::Result<_>>()?;
    if out.json {
        out.json(&serde_json::json!({ "bench": "inspect", "rows": rows }))?;
    } else {
        let headers = ["payload", "bytes", "parse ns", "search ns", "us per KiB"];
        let cells = |row: &Row| {
            vec![
                row.payload.to_owned(),
                row.bytes.to_string(),
                timing::cell(row.parse_ns),
                timing::cell(row.search_ns),
                row.us_per_kib.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}")),
            ]
        };
        out.table(&headers, &rows.iter().map(cells).collect::<Vec<_>>())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(dlp: &Dlp, payload: &'static str, text: &str) -> anyhow::Result<Row> {
    let limits = Limits::default();
    let document = Document::parse(text, &limits)?;
    let parse_ns = timing::time(|| {
        ensure!(Document::parse(text, &limits)?.text().len() == text.len(), "another text");
        Ok(())
    })?;
    let search_ns = timing::time(|| {
        ensure!(dlp.inspect(&document, None).outcome == Outcome::Clean, "{payload} is not clean");
        Ok(())
    })?;
    let kib = f64::from(u32::try_from(text.len())?) / 1_024.0;
    let both = parse_ns.zip(search_ns).map(|(parse, search)| parse.median + search.median);
    let us_per_kib = both.map(|nanos| nanos / 1_000.0 / kib);
    Ok(Row { payload, bytes: text.len(), parse_ns, search_ns, us_per_kib })
}

/// Clean payloads: what agents say to each other, and shapes that cost more than that.
fn corpus() -> Vec<(&'static str, String)> {
    let prose = |bytes: usize| {
        let words: String = PROSE.chars().cycle().take(bytes).collect();
        serde_json::json!({ "text": words }).to_string()
    };
    let fields = |count: u32| {
        let fields = (0..count).map(|at| (format!("k{at}"), serde_json::Value::from("ok")));
        serde_json::Value::Object(fields.collect()).to_string()
    };
    let numbers = serde_json::json!({ "rows": (0..256).map(|at| at % 97).collect::<Vec<u32>>() });
    vec![
        ("workload", load::payload(0)),
        ("prose", prose(1 << 10)),
        ("prose", prose(16 << 10)),
        ("prose", prose(256 << 10)),
        ("small fields", fields(85)),
        ("small fields", fields(1_400)),
        ("numbers", numbers.to_string()),
    ]
}

const PROSE: &str = "The harbour office writes down which ship lies at which berth, when it came \
    and what it waits for. Whoever wants to know the tides looks at the board beside the gate, and \
    nobody is told twice. ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_of_the_corpus_is_clean() {
        let dlp = Dlp::compile(&DlpSpec::default()).unwrap();
        for (payload, text) in corpus() {
            let document = Document::parse(&text, &Limits::default()).unwrap();
            let inspection = dlp.inspect(&document, None);
            assert!(inspection.findings.is_empty(), "{payload}: {:?}", inspection.findings);
        }
    }
}
