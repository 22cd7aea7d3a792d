//! Speeds side by side, and the ratios of the rounds.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Line, Report};
use crate::workload::Failed;

const INK: RGBColor = RGBColor(60, 60, 60);
const FAINT: RGBColor = RGBColor(225, 225, 225);
const OURS: RGBColor = RGBColor(0, 84, 147);
const THEIRS: RGBColor = RGBColor(150, 150, 150);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub fn draw(report: &Report, to: &Path) -> Result<(), Failed> {
    let root = SVGBackend::new(to, (1_000, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(480);
    let lines = report.lines();
    let speeds: Vec<&Line> = lines.iter().filter(|line| line.unit == "tokens/s").collect();
    side_by_side(&left, &speeds)?;
    ratios(&right, &lines)?;
    Ok(root.present()?)
}

fn side_by_side(area: &Area, lines: &[&Line]) -> Result<(), Failed> {
    let most = lines.iter().map(|line| line.ours.median().max(line.theirs.median()));
    let (most, count) = (most.fold(0.0, f64::max) * 1.2, lines.len() as f64);
    let mut chart = ChartBuilder::on(area)
        .caption("Output tokens/s in all", ("sans-serif", 17, &INK))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..count, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .draw()?;
    let centred =
        ("sans-serif", 12, &INK).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (line, left) in lines.iter().zip(0..) {
        let left = f64::from(left);
        for (spread, colour, from) in [(&line.ours, OURS, 0.1), (&line.theirs, THEIRS, 0.5)] {
            let bar = [(left + from, 0.0), (left + from + 0.38, spread.median())];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            let label = format!("{:.0}", spread.median());
            let at = (left + from + 0.19, spread.median() + most / 100.0);
            chart.draw_series([Text::new(label, at, centred.clone())])?;
        }
        let name = line.name.replace('_', " ");
        chart.draw_series([Text::new(name, (left + 0.5, -most / 13.0), centred.clone())])?;
    }
    for (words, colour, row) in [("ours", OURS, 0.94), ("llama-server", THEIRS, 0.87)] {
        let square = [(0.1, most * row), (0.2, most * (row - 0.04))];
        chart.draw_series([Rectangle::new(square, colour.filled())])?;
        let style = ("sans-serif", 13, &INK).into_text_style(area);
        chart.draw_series([Text::new(words, (0.28, most * row), style)])?;
    }
    Ok(())
}

fn ratios(area: &Area, lines: &[Line]) -> Result<(), Failed> {
    let most = lines.iter().map(|line| line.ratio.quartiles().1).fold(1.0, f64::max) * 1.15;
    let rows = lines.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption("Ours to llama-server in the same round, more is better", ("sans-serif", 17, &INK))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(96)
        .build_cartesian_2d(0.0..most, -rows..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .draw()?;
    let right =
        ("sans-serif", 13, &INK).into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
    for (line, row) in lines.iter().zip(0..) {
        let row = -f64::from(row) - 0.5;
        let (low, high) = line.ratio.quartiles();
        let bar = [(low, row + 0.2), (high, row - 0.2)];
        chart.draw_series([Rectangle::new(bar, OURS.mix(0.35).filled())])?;
        chart.draw_series([Circle::new((line.ratio.median(), row), 5, OURS.filled())])?;
        let label = format!("{}  {:.2}", line.name.replace('_', " "), line.ratio.median());
        chart.draw_series([Text::new(label, (-most / 60.0, row), right.clone())])?;
    }
    let even = [-rows, 0.0].map(|row| (1.0, row));
    chart.draw_series(DashedLineSeries::new(even, 6, 4, INK.stroke_width(1)))?;
    Ok(())
}
