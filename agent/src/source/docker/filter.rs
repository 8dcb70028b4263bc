//! Which containers are meant: conditions on what the engine says about them.

use std::str::FromStr;

use glob::Pattern;

use super::tagging::Container;

/// The labels that compose puts on the containers of a project and of a service of it.
pub(super) const COMPOSE_LABELS: [&str; 2] = ["com.docker.compose.project", "com.docker.compose.service"];

/// Conditions that all have to hold for a container, written with spaces between: `image=pytorch/* label=team=nlp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    subject: Subject,
    pattern: Pattern,
}

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Name,
    Image,
    /// The label's key.
    Label(String),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableFilter {
    /// A word of it does not begin as conditions do.
    #[error("{0}, which is no condition")]
    Unknown(String),
    /// It says nothing about what it names.
    #[error("{0}, which has nothing behind its `=`")]
    Empty(String),
    /// What is compared is not a glob.
    #[error("{condition}, which is not a glob: {message} at character {at}")]
    NoGlob {
        /// The condition.
        condition: String,
        /// What the parser of globs says.
        message: &'static str,
        /// Where in the glob, from 1.
        at: usize,
    },
}

impl Filter {
    /// What can be written, for who wrote something else.
    pub const ACCEPTED: &str = "write name=, image=, project= or service= with a glob such as train-*, label=KEY or \
                                label=KEY=GLOB, and spaces between those that all have to hold";

    /// Whether all of it holds for that container.
    pub(super) fn is_met_by(&self, container: &Container) -> bool {
        self.0.iter().all(|condition| condition.is_met_by(container))
    }
}

impl FromStr for Filter {
    type Err = UnusableFilter;

    fn from_str(text: &str) -> Result<Self, UnusableFilter> {
        let conditions: Vec<Condition> = text.split_whitespace().map(condition).collect::<Result<_, _>>()?;
        if conditions.is_empty() { Err(UnusableFilter::Unknown(text.to_owned())) } else { Ok(Self(conditions)) }
    }
}

fn condition(text: &str) -> Result<Condition, UnusableFilter> {
    let unknown = || UnusableFilter::Unknown(text.to_owned());
    let empty = || UnusableFilter::Empty(text.to_owned());
    let (word, rest) = text.split_once('=').ok_or_else(unknown)?;
    let [project, service] = COMPOSE_LABELS;
    let (subject, glob) = match word {
        "name" => (Subject::Name, rest),
        "image" => (Subject::Image, rest),
        "project" => (Subject::Label(project.to_owned()), rest),
        "service" => (Subject::Label(service.to_owned()), rest),
        "label" => {
            // A label without a value is there or not.
            let (key, glob) = rest.split_once('=').unwrap_or((rest, "*"));
            if key.is_empty() {
                return Err(empty());
            }
            (Subject::Label(key.to_owned()), glob)
        }
        _ => return Err(unknown()),
    };
    if glob.is_empty() {
        return Err(empty());
    }
    let pattern = Pattern::new(glob).map_err(|error| UnusableFilter::NoGlob {
        condition: text.to_owned(),
        message: error.msg,
        at: error.pos + 1,
    })?;
    Ok(Condition { subject, pattern })
}

impl Condition {
    fn is_met_by(&self, container: &Container) -> bool {
        match &self.subject {
            Subject::Name => self.pattern.matches(&container.name),
            Subject::Image => {
                self.pattern.matches(&container.image) || self.pattern.matches(untagged(&container.image))
            }
            Subject::Label(key) => container.labels.get(key).is_some_and(|value| self.pattern.matches(value)),
        }
    }
}

/// An image's name without its tag and digest. A registry may have a port, which looks like a tag.
fn untagged(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::{super::tagging::tests::container, *};

    #[test]
    fn a_filter_is_met_when_all_of_its_conditions_are() {
        let trainer = || {
            let mut container = container(
                &[
                    ("team", "nlp"),
                    ("gpu", ""),
                    ("com.docker.compose.project", "ridge"),
                    ("com.docker.compose.service", "train"),
                ],
                &[],
            );
            container.name = "ridge-train-1".to_owned();
            container.image = "hub:5000/pytorch/train:2.1@sha256:00".to_owned();
            container
        };
        let cases = [
            ("name=ridge-*", true),
            ("name=ridge-train-1", true),
            ("name=train", false),
            ("image=hub:5000/pytorch/train", true),
            ("image=*/train", true),
            ("image=*:2.1@*", true),
            ("image=pytorch/*", false),
            ("project=ridge service=tr*", true),
            ("project=ridge service=serve", false),
            ("label=team", true),
            ("label=gpu", true),
            ("label=gpu=?*", false),
            ("label=team=nl?", true),
            ("label=team=vision", false),
            ("label=Team", false),
            ("  label=team   name=ridge-* ", true),
            ("label=team name=other", false),
        ];
        for (text, is_met) in cases {
            assert_eq!(text.parse::<Filter>().unwrap().is_met_by(&trainer()), is_met, "{text}");
        }
        assert_eq!(untagged("hub:5000/train"), "hub:5000/train");
    }

    #[test]
    fn what_is_no_filter_is_told_with_its_reason() {
        let cases = [
            ("", ", which is no condition"),
            ("train-*", "train-*, which is no condition"),
            ("nmae=x", "nmae=x, which is no condition"),
            ("name=x and label=y", "and, which is no condition"),
            ("name=", "name=, which has nothing behind its `=`"),
            ("label==x", "label==x, which has nothing behind its `=`"),
            ("label=key=", "label=key=, which has nothing behind its `=`"),
            ("image=a[", "image=a[, which is not a glob: invalid range pattern at character 2"),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<Filter>().unwrap_err().to_string(), reason);
        }
    }
}
