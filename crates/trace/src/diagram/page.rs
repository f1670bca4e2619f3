//! The page around the drawings: one file, nothing loaded from elsewhere.

use std::io::{self, Write};

use crate::story::sentences as say;
use crate::story::summary;

use super::Chart;
use super::draw::{self, escaped};

const STYLE: &str = "
:root { --paper: #fff; --ink: #1b1f24; --dim: #6b7280; --rule: #d4d8de; --data: #1f6feb; --ack: #8a93a0;
  --open: #1a7f4b; --again: #b45309; --lost: #c81e1e; --odd: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e6e8eb; --dim: #9aa3af; --rule: #333a44;
  --data: #6ea8fe; --ack: #7d8794; --open: #4ade80; --again: #fbbf24; --lost: #f87171; --odd: #c4b5fd; } }
body { background: var(--paper); color: var(--ink); font: 14px/1.5 system-ui, sans-serif; margin: 24px; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin: 32px 0 4px; } p { margin: 2px 0; max-width: 1100px; }
.what, .help { color: var(--dim); } .error { color: var(--lost); }
.legend span { margin-right: 18px; white-space: nowrap; }
.legend i { display: inline-block; width: 22px; height: 0; border-top: 3px solid; vertical-align: middle;
  margin-right: 6px; }
.ends { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--rule); width: 1280px;
  height: 26px; margin-top: 12px; z-index: 1; }
.ends b { position: absolute; transform: translateX(-50%); white-space: nowrap; }
svg { display: block; overflow: visible; } .sequence { content-visibility: auto; } svg text { font: 11px ui-monospace, monospace; fill: var(--ink); }
.life { stroke: var(--rule); stroke-width: 2; } .p path { fill: none; stroke-width: 1.4; }
.p:hover path, .p:target path { stroke-width: 3; }
.data path, i.data, circle.data { stroke: var(--data); color: var(--data); }
.ack path, i.ack { stroke: var(--ack); color: var(--ack); }
.open path, i.open, circle.open { stroke: var(--open); color: var(--open); }
.again path, i.again, circle.again { stroke: var(--again); color: var(--again); }
.odd path, i.odd, circle.odd { stroke: var(--odd); color: var(--odd); }
.lost path, i.lost, circle.lost { stroke: var(--lost); color: var(--lost); }
.lost path { stroke-dasharray: none; stroke-width: 1.8; }
circle { fill: currentColor; }
svg .time { fill: var(--dim); text-anchor: end; } svg .number { fill: var(--dim); text-anchor: end; }
svg .pause { fill: var(--dim); text-anchor: middle; font-style: italic; }
svg .label { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .note { font: 12px system-ui, sans-serif; } svg .tick { fill: var(--dim); }
.frame { fill: none; stroke: var(--rule); }
.only .p.ack:not(.told) { display: none; }
@media print { .ends { position: static; } .controls { display: none; } }
";

const SCRIPT: &str = "
const told = [...document.querySelectorAll('.p.told')];
let at = -1;
addEventListener('keydown', event => {
  if (event.key !== 'n' && event.key !== 'p' || !told.length) return;
  at = (at + (event.key === 'n' ? 1 : told.length - 1) + (at < 0 && event.key === 'p' ? 1 : 0)) % told.length;
  location.replace('#' + told[at].id);
  told[at].scrollIntoView({ block: 'center' });
});
document.getElementById('only').addEventListener('change', event =>
  document.body.classList.toggle('only', event.target.checked));
";

/// Writes the page.
pub(super) fn write(charts: &[Chart], more: u64, error: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let title = say::DIAGRAM_TITLE;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n<style>{STYLE}</style></head>\n\
         <body>\n<h1>{title}</h1>\n<p class=\"legend\">"
    )?;
    for (class, name) in say::LEGEND {
        write!(out, "<span><i class=\"{class}\"></i>{}</span>", escaped(name))?;
    }
    writeln!(
        out,
        "</p>\n<p class=\"help controls\">{} <label><input type=\"checkbox\" id=\"only\"> {}</label></p>",
        escaped(&say::help()),
        escaped(&say::only_remarks())
    )?;
    if charts.is_empty() {
        writeln!(out, "<p>{}</p>", escaped(&say::no_connection()))?;
    }
    for chart in charts {
        section(chart, out)?;
    }
    if more > 0 {
        writeln!(out, "<p class=\"what\">{}</p>", escaped(&say::more_connections(more)))?;
    }
    if let Some(error) = error {
        writeln!(out, "<p class=\"error\">{}</p>", escaped(&say::reading_failed(error)))?;
    }
    writeln!(out, "<script>{SCRIPT}</script>\n</body></html>")
}

fn section(chart: &Chart, out: &mut dyn Write) -> io::Result<()> {
    let (heading, lines) = summary::lines(&chart.summary);
    writeln!(out, "<section>\n<h2>{}</h2>", escaped(&heading))?;
    for line in lines {
        writeln!(out, "<p>{}</p>", escaped(&line))?;
    }
    let mut svg = String::new();
    draw::overview(chart, &mut svg);
    out.write_all(svg.as_bytes())?;
    writeln!(
        out,
        "<div class=\"ends\"><b style=\"left:150px\">{} {}</b><b style=\"left:560px\">{} {}</b></div>",
        say::CLIENT,
        chart.summary.client,
        say::SERVER,
        chart.summary.server
    )?;
    svg.clear();
    draw::arrows(chart, &mut svg);
    out.write_all(svg.as_bytes())?;
    if chart.not_drawn > 0 {
        writeln!(out, "<p class=\"what\">{}</p>", escaped(&say::not_drawn(chart.not_drawn)))?;
    }
    writeln!(out, "</section>")
}
