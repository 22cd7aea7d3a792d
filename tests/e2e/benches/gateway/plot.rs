//! What each gateway adds, and how much passes through it, on scales that hold both ends.

use std::path::Path;

use chainference_testkit::bench::Spread;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::Figures;
use crate::target::Who;
use crate::workload::{Failed, Point, Size};

const INK: RGBColor = RGBColor(60, 60, 60);
const FAINT: RGBColor = RGBColor(225, 225, 225);
const OURS: RGBColor = RGBColor(0, 84, 147);
const THEIRS: RGBColor = RGBColor(150, 150, 150);
const SHOWN: [Who; 5] = [Who::Off, Who::Session, Who::Smg, Who::Portkey, Who::Litellm];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub fn draw(figures: &Figures, to: &Path) -> Result<(), Failed> {
    let root = SVGBackend::new(to, (1_000, 330)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(500);
    let added = |point| move |who| figures.added(who, point);
    let rates = |point| move |who| figures.medians(who, point);
    bars(
        &left,
        "Added ms: a plain call, a first token (log; less is better)",
        [&added(Point::Whole(Size::Kb1)), &added(Point::First)],
        0.01,
    )?;
    bars(
        &right,
        "Calls/s at 16 and 64 connections (log; more is better)",
        [&rates(Point::Rate(16)), &rates(Point::Rate(64))],
        10.0,
    )?;
    Ok(root.present()?)
}

/// Two bars for each gateway, from `least` on.
fn bars(
    area: &Area,
    caption: &str,
    pair: [&dyn Fn(Who) -> Vec<f64>; 2],
    least: f64,
) -> Result<(), Failed> {
    let shown: Vec<Who> = SHOWN.into_iter().filter(|who| !pair[0](*who).is_empty()).collect();
    let medians = |of: &dyn Fn(Who) -> Vec<f64>, who| {
        let all = of(who);
        if all.is_empty() { least } else { Spread::of(all).median().max(least) }
    };
    let all = shown.iter().flat_map(|who| pair.map(|of| medians(of, *who)));
    let most = all.fold(least * 10.0, f64::max) * 3.0;
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 15, &INK))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..shown.len() as f64, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(("sans-serif", 12, &INK))
        .draw()?;
    let above =
        ("sans-serif", 12, &INK).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Bottom));
    let below =
        ("sans-serif", 12, &INK).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
    for (who, left) in shown.iter().zip(0..) {
        let left = f64::from(left);
        let is_ours = matches!(who, Who::Off | Who::Session);
        let colour = if is_ours { OURS } else { THEIRS };
        for (of, from, strength) in [(pair[0], 0.1, 1.0), (pair[1], 0.5, 0.6)] {
            let median = medians(of, *who);
            let bar = [(left + from, least), (left + from + 0.38, median)];
            chart.draw_series([Rectangle::new(bar, colour.mix(strength).filled())])?;
            let label = if median < 10.0 { format!("{median:.2}") } else { format!("{median:.0}") };
            chart.draw_series([Text::new(
                label,
                (left + from + 0.19, median * 1.08),
                above.clone(),
            )])?;
        }
        let name = who.words().replace("settlement ", "");
        chart.draw_series([Text::new(name, (left + 0.5, least * 0.9), below.clone())])?;
    }
    Ok(())
}
