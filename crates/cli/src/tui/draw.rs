//! How the display looks: rates as sparklines, the latency of the latest interval, counts, the verdict so far.

use bypath_measure::result::metric;
use bypath_measure::text::{bits_per_second, count, duration_ns, rate};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table, Wrap};

use super::view::View;

/// More sparklines than this have no room.
const MOST_RATES: usize = 3;

/// Draws the whole.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let rates = view.rates();
    let sparklines = u16::try_from(rates.len().clamp(1, MOST_RATES)).unwrap_or(1);
    let [head, gauge, lines, tables, verdict] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Max(sparklines * 6),
        Constraint::Min(4),
        Constraint::Length(4),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(view.title.as_str()).bold(), head);
    progress(frame, gauge, view);
    throughput(frame, lines, &rates);
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(tables);
    latency(frame, left, view);
    counts(frame, right, view);
    judgement(frame, verdict, view);
}

fn progress(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let elapsed = view.elapsed();
    let label = match view.duration_seconds {
        _ if elapsed < 0.0 => format!("warm-up, {:.0} s to go", -elapsed),
        Some(duration) => format!("{elapsed:.0} of {duration:.0} s"),
        None => format!("{elapsed:.0} s"),
    };
    match view.progress() {
        Some(ratio) => {
            let style = Style::new().fg(Color::Blue).bg(Color::DarkGray);
            frame.render_widget(Gauge::default().ratio(ratio).label(label).gauge_style(style), area);
        }
        None => frame.render_widget(Paragraph::new(label), area),
    }
}

fn throughput(frame: &mut Frame<'_>, area: Rect, rates: &[(&str, Vec<f64>)]) {
    let shown = &rates[..rates.len().min(MOST_RATES)];
    if shown.is_empty() {
        frame.render_widget(Paragraph::new("nothing measured yet").dim().block(Block::bordered()), area);
        return;
    }
    let parts = Layout::vertical(vec![Constraint::Fill(1); shown.len()]).split(area);
    for ((name, values), part) in shown.iter().zip(parts.iter()) {
        let tell = |value: f64| match name.ends_with("bits_per_second") {
            true => bits_per_second(value),
            false => rate(value),
        };
        let words = name.trim_end_matches("_per_second").trim_end_matches("_bits").replace('_', " ");
        let latest = values.last().copied().unwrap_or(0.0);
        let highest = values.iter().copied().fold(0.0, f64::max);
        let title = Line::from(vec![
            Span::raw(format!(" {words} ")),
            Span::styled(tell(latest), Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(format!("  at most {} ", tell(highest)), Style::new().dim()),
        ]);
        // The latest as far as there is room for them; scaled, since a sparkline takes whole numbers.
        let room = usize::from(part.width.saturating_sub(2));
        let scale = if highest > 0.0 { 10_000.0 / highest } else { 0.0 };
        let heights: Vec<u64> =
            values[values.len().saturating_sub(room)..].iter().map(|value| (value * scale) as u64).collect();
        let sparkline = Sparkline::default()
            .block(Block::bordered().title(title))
            .data(heights)
            .max(10_000)
            .style(Style::new().fg(Color::Cyan));
        frame.render_widget(sparkline, *part);
    }
}

fn latency(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let latest = view.intervals.last().map(|interval| &interval.latency);
    let mut names: Vec<&String> = latest.into_iter().flat_map(|latency| latency.keys()).collect();
    names.sort_by_key(|name| metric::order(name));
    let rows = names.into_iter().filter_map(|name| {
        let now = latest?.get(name)?;
        let ns = |value: u64| Cell::from(Line::from(duration_ns(value as f64)).right_aligned());
        let largest = view.largest.get(name).copied().unwrap_or(0);
        Some(Row::new([
            Cell::from(name.replace('_', " ")),
            ns(now.p50_ns),
            ns(now.p99_ns),
            ns(now.max_ns),
            ns(largest),
        ]))
    });
    let heads = ["", "50 %", "99 %", "largest", "of all"];
    let heads = Row::new(heads.map(|head| Cell::from(Line::from(head).right_aligned()))).dim();
    let widths = [
        Constraint::Min(15),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let block = Block::bordered().title(" latency, latest interval ");
    frame.render_widget(Table::new(rows, widths).header(heads).block(block), area);
}

fn counts(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let mut lines: Vec<(String, u64, bool)> = Vec::new();
    for (cause, n) in &view.drops {
        lines.push((format!("dropped: {}", cause.replace('_', " ")), *n, *n > 0));
    }
    for (cause, n) in &view.totals.errors {
        lines.push((format!("error: {}", cause.replace('_', " ")), *n, true));
    }
    for (name, n) in view.totals.measured() {
        let is_bad = n > 0 && ["failed", "lost", "corrupt"].iter().any(|word| name.contains(word));
        lines.push((name.replace('_', " "), n, is_bad));
    }
    // What is bad is seen first, in whatever little room there is.
    lines.sort_by_key(|(_, _, is_bad)| !is_bad);
    let rows = lines.into_iter().map(|(name, n, is_bad)| {
        let row = Row::new([Cell::from(name), Cell::from(Line::from(count(n)).right_aligned())]);
        if is_bad { row.style(Style::new().fg(Color::Red)) } else { row }
    });
    let widths = [Constraint::Min(10), Constraint::Length(16)];
    frame.render_widget(Table::new(rows, widths).block(Block::bordered().title(" counts ")), area);
}

fn judgement(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let (text, style) = match &view.verdict {
        None => ("not measured yet".to_owned(), Style::new().dim()),
        Some(verdict) if verdict.valid => {
            ("nothing speaks against it so far".to_owned(), Style::new().fg(Color::Green))
        }
        Some(verdict) => {
            let reasons: Vec<&str> = verdict.reasons.iter().map(|reason| reason.message.as_str()).collect();
            (reasons.join("; "), Style::new().fg(Color::Red))
        }
    };
    let keys = Line::from(" q or Ctrl-C ends the run ").right_aligned().dim();
    let block = Block::bordered().title(" verdict ").title_bottom(keys);
    frame.render_widget(Paragraph::new(text).style(style).wrap(Wrap { trim: true }).block(block), area);
}

#[cfg(test)]
mod tests {
    use bypath_measure::result::{Interval, IntervalLatency, Totals};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn interval(start: f64, requests: u64) -> Interval {
        let totals =
            Totals { requests: Some(requests), bytes_received: Some(requests * 1_000), ..Totals::default() };
        let mut interval = Interval::new(start, start + 1.0, totals);
        let latency =
            IntervalLatency { count: requests, p50_ns: 33_200, p99_ns: 60_100, max_ns: 1_500_000, hdr: None };
        interval.latency.insert("request_service".to_owned(), latency.clone());
        interval.latency.insert("packet".to_owned(), latency);
        interval
    }

    fn screen(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_run_is_shown_as_it_goes() {
        let mut view = View::new("bypath load rr, 198.18.0.2:7", Some(10.0));
        view.push(&interval(-1.0, 9_000));
        for second in 0..3 {
            view.push(&interval(f64::from(second), 12_000));
        }
        let screen = screen(&view, 100, 30);
        for part in [
            "bypath load rr, 198.18.0.2:7",
            "3 of 10 s",
            "goodput received 96.0 Mbit/s",
            "requests 12,000/s",
            "packet ",
            "33.2 µs",
            "60.1 µs",
            "1.50 ms",
            "36,000",
            "nothing speaks against it so far",
        ] {
            assert!(screen.contains(part), "{part:?} is not on\n{screen}");
        }
        let (packet, service) = (screen.find("packet "), screen.find("request service"));
        assert!(packet < service, "{screen}");
    }

    #[test]
    fn warm_up_is_no_part_of_the_counts() {
        let mut view = View::new("x", Some(10.0));
        view.push(&interval(-3.0, 9_000));
        let screen = screen(&view, 80, 24);
        assert!(screen.contains("warm-up, 2 s to go") && !screen.contains("9,000 "), "{screen}");
    }

    #[test]
    fn what_is_bad_comes_first_and_in_red() {
        let mut view = View::new("x", None);
        let mut bad = interval(0.0, 5);
        bad.totals.segments_received = Some(10_000);
        bad.drops.insert("rx_ring_full".to_owned(), 1_234);
        view.push(&bad);
        let screen = screen(&view, 100, 24);
        let (dropped, requests) = (screen.find("dropped: rx ring full"), screen.find("requests    "));
        assert!(dropped.is_some() && dropped < requests, "{screen}");
        assert!(screen.contains("1,234") && !screen.contains("nothing speaks against it"), "{screen}");
    }

    #[test]
    fn no_terminal_is_too_small() {
        let mut view = View::new("bypath load rr, 198.18.0.2:7", Some(10.0));
        view.push(&interval(0.0, 12_000));
        for (width, height) in [(1, 1), (2, 40), (200, 2), (10, 10), (400, 100)] {
            screen(&view, width, height);
        }
        screen(&View::new("", None), 80, 24);
    }
}
