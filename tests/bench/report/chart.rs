//! Bars as SVG: one group a scenario, one bar an agent. Written by hand, since a crate would draw much more than this.

use std::fmt::Write;

use super::{Outcome, grouped};
use crate::scenario::Aspect;

const WIDTH: usize = 860;
const LEFT: usize = 150;
/// Room for the figure behind the longest bar.
const RIGHT: usize = 130;
const BAR: usize = 14;
const GAP: usize = 10;
const TOP: usize = 40;
/// One for each agent, in their order: told apart also by those who see no red or green.
const COLOURS: [&str; 6] = ["#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#999999"];

/// The chart of an aspect. `None` if nothing was measured of it.
#[must_use]
pub fn svg(aspect: Aspect, outcomes: &[Outcome]) -> Option<String> {
    let outcomes: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.scenario.aspect == aspect).collect();
    let main = aspect.main();
    let most = outcomes.iter().flat_map(|outcome| &outcome.series).map(|series| series.spread(main).median);
    let most = most.filter(|figure| figure.is_finite()).fold(0.0, f64::max);
    let bars: usize = outcomes.iter().map(|outcome| outcome.series.len()).sum();
    if bars == 0 {
        return None;
    }
    let height = TOP + bars * BAR + outcomes.len() * GAP;
    let mut shapes = String::new();
    let mut y = TOP;
    for outcome in outcomes {
        text(&mut shapes, 4, y + BAR - 3, "font-weight='bold'", &outcome.scenario.name);
        for (series, colour) in outcome.series.iter().zip(COLOURS.iter().cycle()) {
            let figure = series.spread(main).median;
            let part = if most > 0.0 && figure.is_finite() { figure / most } else { 0.0 };
            let length = (part * (WIDTH - LEFT - RIGHT) as f64).round().max(1.0);
            writeln!(shapes, "<rect x='{LEFT}' y='{y}' width='{length}' height='{}' fill='{colour}'/>", BAR - 2)
                .expect("a String takes all text");
            let label = format!("{} {}", grouped(figure, main.digits), series.name);
            text(&mut shapes, LEFT + length as usize + 4, y + BAR - 4, "", &label);
            y += BAR;
        }
        y += GAP;
    }
    let title = format!("{}: {}", aspect.title(), main.name);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' \
         font-size='11'>\n<rect width='{WIDTH}' height='{height}' fill='white'/>\n"
    );
    text(&mut svg, 4, 18, "font-size='14'", &title);
    svg.push_str(&shapes);
    svg.push_str("</svg>\n");
    Some(svg)
}

fn text(svg: &mut String, x: usize, y: usize, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x='{x}' y='{y}' {style}>{text}</text>").expect("a String takes all text");
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{outcome, series},
        *,
    };

    #[test]
    fn longest_bar_is_the_largest_figure_and_others_are_in_proportion() {
        let all = vec![series("runlog", [500; 3]), series("collector", [2000; 3])];
        let chart = svg(Aspect::Throughput, &[outcome("python", all)]).unwrap();
        assert!(chart.contains("width='580'") && chart.contains("width='145'"), "{chart}");
        assert!(chart.contains(">2,000,000 runlog<") && chart.contains(">500,000 collector<"), "{chart}");
    }

    #[test]
    fn aspect_that_was_not_measured_has_no_chart() {
        assert_eq!(svg(Aspect::Idle, &[outcome("python", vec![series("runlog", [500; 3])])]), None);
    }
}
