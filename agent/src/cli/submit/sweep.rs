//! The values that a script is run with.

use anyhow::{Result, anyhow, bail};

/// Runs that one sweep may be.
const MAX_RUNS: usize = 10_000;

/// One name with its values, as they are typed: `alpha=0:1:0.05` (from, to and not with it, step), or `lr=1e-3,1e-4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What stands in braces in the command.
    pub name: String,
    /// Its values, in their order.
    pub values: Vec<String>,
}

/// A value of each axis.
pub type Point = Vec<(String, String)>;

impl Axis {
    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let accepted = "write NAME=FROM:TO:STEP, such as alpha=0:1:0.05, or NAME=VALUE,VALUE";
        let (name, values) = text.split_once('=').ok_or_else(|| anyhow!("--sweep {text} has no values\n{accepted}"))?;
        let values = match values.split(':').collect::<Vec<_>>()[..] {
            [from, to, step] => {
                range(from, to, step).ok_or_else(|| anyhow!("--sweep {text} is no range\n{accepted}"))?
            }
            _ => values.split(',').map(str::to_owned).collect(),
        };
        if name.is_empty() || values.iter().any(String::is_empty) {
            bail!("--sweep {text} has an empty name or value\n{accepted}");
        }
        Ok(Self { name: name.to_owned(), values })
    }
}

/// The axes of a sweep.
///
/// # Errors
/// If one is none, or two have the same name: the values of one would stand nowhere.
pub fn axes(texts: &[String]) -> Result<Vec<Axis>> {
    let axes = texts.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>>>()?;
    for (at, axis) in axes.iter().enumerate() {
        if axes[..at].iter().any(|before| before.name == axis.name) {
            bail!("--sweep {0} is given twice\nwrite all of its values in one, such as {0}=1,2,3", axis.name);
        }
    }
    Ok(axes)
}

/// The values from `from` on, `step` apart, up to `to` and without it. They have the decimals that were typed.
fn range(from: &str, to: &str, step: &str) -> Option<Vec<String>> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let (first, end, apart) = (number(from)?, number(to)?, number(step)?);
    let count = ((end - first) / apart - 1e-9).ceil();
    if apart == 0.0 || !(1.0..=MAX_RUNS as f64).contains(&count) {
        return None;
    }
    let decimals = [from, step].map(|text| text.split_once('.').map_or(0, |(_, decimals)| decimals.len()));
    let is_plain = [from, step].iter().all(|text| !text.contains(['e', 'E']));
    let value = |at: usize| {
        let value = first + at as f64 * apart;
        if is_plain { format!("{value:.*}", decimals[0].max(decimals[1])) } else { value.to_string() }
    };
    // It was found to be a small whole number.
    Some((0..count as usize).map(value).collect())
}

/// Each value of an axis with each of the others; one point without a value if there are no axes.
///
/// # Errors
/// If there are too many.
pub fn points(axes: &[Axis]) -> Result<Vec<Point>> {
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    if count.is_none_or(|count| count > MAX_RUNS) {
        bail!("the sweep is more than {MAX_RUNS} runs");
    }
    let mut points: Vec<Point> = vec![Vec::new()];
    for axis in axes {
        let with = |point: &Point, value: &String| {
            let mut point = point.clone();
            point.push((axis.name.clone(), value.clone()));
            point
        };
        points = points.iter().flat_map(|point| axis.values.iter().map(move |value| with(point, value))).collect();
    }
    Ok(points)
}

/// The command with the values in the place of their names.
///
/// # Errors
/// If a name stands nowhere in it.
pub fn filled(command: &[String], point: &Point) -> Result<Vec<String>> {
    for (name, _) in point {
        let braced = format!("{{{name}}}");
        if command.iter().all(|argument| !argument.contains(&braced)) {
            bail!(
                "{braced} stands nowhere in the command\nwrite it where the value belongs, such as --{name} {braced}"
            );
        }
    }
    let fill = |argument: &String| {
        point.iter().fold(argument.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    Ok(command.iter().map(fill).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_values_of_numpys_arange_as_people_write_them() {
        let alpha = Axis::parse("alpha=0:1:0.05").unwrap();
        assert_eq!((alpha.values.len(), &alpha.values[3][..], &alpha.values[19][..]), (20, "0.15", "0.95"));
        assert_eq!(Axis::parse("n=1:4:1").unwrap().values, ["1", "2", "3"]);
        assert_eq!(Axis::parse("n=3:0:-1").unwrap().values, ["3", "2", "1"]);
        assert_eq!(Axis::parse("lr=1e-3,1e-4").unwrap().values, ["1e-3", "1e-4"]);
    }

    #[test]
    fn what_is_no_sweep_says_what_would_be_one() {
        for text in ["alpha", "alpha=", "=1,2", "alpha=0:1:0", "alpha=0:1:-1", "alpha=a:b:c", "alpha=0:1e9:1", "a=1,,2"]
        {
            let error = Axis::parse(text).unwrap_err().to_string();
            assert!(error.contains("alpha=0:1:0.05"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let error = axes(&["a=1,2", "b=1", "a=3,4"].map(str::to_owned)).unwrap_err().to_string();
        assert_eq!(error, "--sweep a is given twice\nwrite all of its values in one, such as a=1,2,3");
    }

    #[test]
    fn every_value_meets_every_other_and_lands_in_the_command() {
        let axes = [Axis::parse("a=1,2").unwrap(), Axis::parse("b=x,y,z").unwrap()];
        let points = points(&axes).unwrap();
        assert_eq!(points.len(), 6);
        let command = ["train", "--a={a}", "{b}{a}"].map(str::to_owned);
        assert_eq!(filled(&command, &points[5]).unwrap(), ["train", "--a=2", "z2"]);
        assert!(filled(&command[..1], &points[0]).unwrap_err().to_string().contains("{a} stands nowhere"));
    }
}
