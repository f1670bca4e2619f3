//! Pages of reports in a real browser, headless Chromium: the pictures are there, the script runs without an error,
//! and the page prints.

#[path = "support/sample.rs"]
mod sample;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bypath_measure::report::{self, Named};
use tempfile::TempDir;

/// Longer than a page takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// With this set to a directory, the pages are left there to be looked at.
const KEEP: &str = "BYPATH_REPORT_PAGES";

/// What one of the names is found under.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|program| program.exists())
}

/// A browser that has opened a page, and what it said.
struct Visit {
    dom: String,
    log: String,
}

/// Opens a page and returns the document as it is when its scripts have run.
fn visit(browser: &Path, page: &Path, more: &[&str]) -> Visit {
    let profile = tempfile::tempdir().unwrap();
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=2000", "--window-size=1200,2000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = std::thread::spawn(move || read_all(&mut stdout));
    let err = std::thread::spawn(move || read_all(&mut stderr));
    end_within(&mut child, LIMIT);
    Visit { dom: out.join().unwrap(), log: err.join().unwrap() }
}

fn read_all(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn end_within(child: &mut Child, limit: Duration) {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Visit {
    /// What the page's script or the page itself complained of.
    fn complaints(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.contains("CONSOLE")).collect()
    }
}

/// A page that reports what a user of it would see: the script at its end points at each picture, and writes what the
/// page shows then into an attribute.
fn probed(page: &str) -> String {
    let probe = "<script>\
        for (const svg of document.querySelectorAll('figure svg.chart')) {\
          const box = svg.getBoundingClientRect();\
          const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };\
          svg.dispatchEvent(new PointerEvent('pointermove', at));\
          svg.dataset.says = document.getElementById('tip').textContent;\
          svg.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));\
          svg.dataset.next = document.getElementById('tip').textContent;\
          svg.dataset.width = Math.round(box.width);\
          svg.dispatchEvent(new PointerEvent('pointerleave'));\
        }\
        </script></body>";
    page.replace("</body>", probe)
}

/// The attribute of the picture called `id`, as the browser has it.
fn attribute<'a>(dom: &'a str, id: &str, name: &str) -> &'a str {
    let begin = dom.find(&format!("<svg id=\"{id}\"")).unwrap_or_else(|| panic!("no picture {id}"));
    let element = &dom[begin..begin + dom[begin..].find('>').unwrap()];
    let value = element
        .split(&format!("{name}=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("{id} has no {name}: {element}"));
    &value[..value.find('"').unwrap()]
}

fn put(dir: &TempDir, name: &str, page: &str) -> PathBuf {
    if let Some(keep) = std::env::var_os(KEEP) {
        std::fs::write(Path::new(&keep).join(name), page).unwrap();
    }
    let path = dir.path().join(name);
    std::fs::write(&path, probed(page)).unwrap();
    path
}

#[test]
fn pages_show_their_curves_and_their_script_runs_without_an_error() {
    let Some(browser) = browser() else {
        // Where the tests are run by `cargo xtask test` it has been installed.
        assert!(std::env::var_os("CI").is_none(), "Chromium is missing: cargo xtask setup");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let page = put(&dir, "run.html", &report::page(&sample::load(7, 60, 1.0)));
    let run = visit(&browser, &page, &["--dump-dom"]);
    assert_eq!(run.complaints(), Vec::<&str>::new());
    for id in ["percentiles", "time-goodput", "time-requests", "time-request", "heat-packet", "heat-request"]
    {
        let says = attribute(&run.dom, id, "data-says");
        assert!(says.contains('s') && says != attribute(&run.dom, id, "data-next"), "{id} says {says:?}");
        let width: u32 = attribute(&run.dom, id, "data-width").parse().unwrap();
        assert!(width > 600, "{id} is {width} wide");
    }
    assert!(attribute(&run.dom, "percentiles", "data-says").contains("request service: "));
    assert!(attribute(&run.dom, "heat-packet", "data-says").contains(" values"));
    assert_eq!(run.dom.matches("class=\"line curve s").count(), 4);

    let named = |name: &str, result| Named { name: name.to_owned(), result };
    let runs = [named("before", sample::repeated(1, 1.0)), named("after", sample::repeated(9, 1.3))];
    let page = put(&dir, "runs.html", &report::comparison_page(&runs));
    let runs = visit(&browser, &page, &["--dump-dom"]);
    assert_eq!(runs.complaints(), Vec::<&str>::new());
    let says = attribute(&runs.dom, "percentiles-packet", "data-says");
    assert!(says.contains("A: ") && says.contains("B: "), "{says:?}");

    let pdf = dir.path().join("run.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    visit(&browser, &dir.path().join("run.html"), &[&print]);
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF"));
}
