//! Lamports a call over the calls of a session, and a closer look at 1,000.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::markdown::grouped;
use crate::sessions::{CALLS, Packing, Sessions};
use crate::targets::LAMPORTS_A_CALL_MAX;

/// solana-foundation/payment-channels at 3ffa4d6, by the model in its `web/src/model.ts`: open with two signatures, seal with
/// one and a precompile's, an eighth of a reclaim, for 1,000 calls.
const PEER_LAMPORTS: f64 = 20.625;
const PEER: &str = "solana-foundation/payment-channels";
const MOST: f64 = 1_000.0;

const INK: RGBColor = RGBColor(60, 60, 60);
const FAINT: RGBColor = RGBColor(225, 225, 225);
const RED: RGBColor = RGBColor(176, 0, 32);
const GREY: RGBColor = RGBColor(130, 130, 130);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

struct Entry {
    name: &'static str,
    colour: RGBColor,
    /// Calls in a session, lamports a call.
    points: Vec<(f64, f64)>,
}

pub fn draw(sessions: &Sessions, to: &Path) -> anyhow::Result<()> {
    let colours = [(0, 84, 147), (0, 142, 170), (110, 110, 190), (64, 158, 84)];
    let ours = Packing::ALL.into_iter().zip(colours).map(|(packing, (red, green, blue))| {
        let calls = CALLS.into_iter().map(|calls| calls as f64);
        Entry {
            name: packing.words(),
            colour: RGBColor(red, green, blue),
            points: calls.zip(sessions.of(packing).lamports_a_call()).collect(),
        }
    });
    let peer = Entry { name: PEER, colour: GREY, points: vec![(MOST, PEER_LAMPORTS)] };
    let entries: Vec<Entry> = ours.chain([peer]).collect();
    let root = SVGBackend::new(to, (1_000, 430)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(520);
    by_calls(&left, &entries)?;
    at_1_000_calls(&right, &entries)?;
    Ok(root.present()?)
}

fn by_calls(area: &Area, entries: &[Entry]) -> anyhow::Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption("Fees of the chain, lamports a call", ("sans-serif", 17, &INK))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d((1.0..MOST * 1.15).log_scale(), (8.0..30_000.0).log_scale())?;
    chart
        .configure_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .x_desc("calls in a session")
        .x_label_formatter(&|calls: &f64| grouped(*calls as u64))
        .y_label_formatter(&|lamports: &f64| grouped(*lamports as u64))
        .draw()?;
    let target = [1.0, MOST].map(|calls| (calls, LAMPORTS_A_CALL_MAX));
    chart.draw_series(DashedLineSeries::new(target, 6, 4, RED.stroke_width(2)))?;
    let label = ("sans-serif", 13, &RED).into_text_style(area);
    chart.draw_series([Text::new("target at 1,000 calls: 20", (1.15, 17.5), label)])?;
    for Entry { name, colour, points } in entries {
        let (line, dot) = (colour.stroke_width(2), colour.filled());
        chart.draw_series(LineSeries::new(points.iter().copied(), line))?;
        let dots = points.iter().map(|point| Circle::new(*point, 4, dot));
        let drawn = chart.draw_series(dots)?.label(*name);
        drawn.legend(move |(x, y)| Circle::new((x + 8, y), 4, dot));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 13, &INK))
        .border_style(FAINT)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

fn at_1_000_calls(area: &Area, entries: &[Entry]) -> anyhow::Result<()> {
    let rows = entries.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption("The same at 1,000 calls", ("sans-serif", 17, &INK))
        .margin(12)
        .x_label_area_size(42)
        .build_cartesian_2d(0.0..25.0, -rows..0.35)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .x_labels(6)
        .x_label_formatter(&|lamports: &f64| grouped(*lamports as u64))
        .x_desc("lamports a call")
        .draw()?;
    let label =
        ("sans-serif", 13, &INK).into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
    for (Entry { name, colour, points }, row) in entries.iter().zip(0..) {
        let (figure, row) = (points[points.len() - 1].1, -f64::from(row));
        let bar = Rectangle::new([(0.0, row - 0.3), (figure, row - 0.75)], colour.filled());
        chart.draw_series([bar])?;
        chart.draw_series([
            Text::new(name.to_string(), (0.2, row - 0.13), label.clone()),
            Text::new(format!("{figure:.1}"), (figure + 0.3, row - 0.52), label.clone()),
        ])?;
    }
    let target = [-rows, 0.35].map(|row| (LAMPORTS_A_CALL_MAX, row));
    chart.draw_series(DashedLineSeries::new(target, 6, 4, RED.stroke_width(2)))?;
    Ok(())
}
