//! Resources that a client has described itself.

use crate::{
    record::{
        Resource,
        wire::{Malformed, Value, attributes, resource_attribute, resource_without},
    },
    run::RunId,
};

/// Field number of `Resource.attributes`.
const ATTRIBUTES: u32 = 1;

const RUN_ID: &str = "ml.run.id";

/// A resource, and the run that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The run.
    pub run_id: String,
    /// The encoded `Resource`.
    pub encoded: Vec<u8>,
}

/// Adds what is known about the run to a client's resource, where the client has not said it itself.
///
/// A client that names its run keeps it. If that is another run than ours, what we know about ours (`ml.`, and
/// `service.instance.id`, which is derived from it) is not said of it. An id that cannot name a run is replaced.
///
/// # Errors
/// If the bytes are not a protobuf message.
pub fn adopt(client: &[u8], run: &Resource) -> Result<Adopted, Malformed> {
    let (mut named, mut says_run) = (None, false);
    let mut keys = Vec::new();
    for attribute in attributes(client, ATTRIBUTES) {
        match attribute? {
            (RUN_ID, Value::String(id)) if named.is_none() => {
                named = RunId::new(id).ok();
                says_run = true;
            }
            (RUN_ID, _) => says_run = true,
            (key, _) => keys.push(key),
        }
    }
    let mut encoded = match (says_run, &named) {
        (true, None) => resource_without(client, RUN_ID)?,
        _ => client.to_vec(),
    };
    keys.extend(named.is_some().then_some(RUN_ID));
    let run_id = named.map_or_else(|| run.run_id.clone(), |id| id.as_str().to_owned());
    let is_ours = run_id == run.run_id;
    for attribute in attributes(&run.encoded, ATTRIBUTES) {
        let (key, value) = attribute?;
        let is_of_run = key.starts_with("ml.") || key == "service.instance.id";
        if (is_ours || !is_of_run) && !keys.contains(&key) {
            resource_attribute(&mut encoded, key, value);
        }
    }
    Ok(Adopted { run_id, encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, Value<'a>)];

    fn encoded(pairs: Pairs<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        pairs.iter().for_each(|(key, value)| resource_attribute(&mut bytes, key, *value));
        bytes
    }

    #[test]
    fn what_the_client_says_wins_and_what_it_does_not_say_is_added() {
        use Value::{Int, String as Text};
        let ours: Pairs<'_> = &[
            ("service.name", Text("ridge")),
            ("service.instance.id", Text("i")),
            ("ml.run.id", Text("r")),
            ("ml.node.rank", Int(3)),
            ("host.name", Text("h")),
        ];
        let run = Resource { run_id: "r".into(), encoded: encoded(ours) };
        // What the client says, the run, and what is added.
        let cases: [(Pairs<'_>, &str, &[usize]); 7] = [
            (&[], "r", &[0, 1, 2, 3, 4]),
            (&[("service.name", Text("mine")), ("a", Int(1))], "r", &[1, 2, 3, 4]),
            (&[("ml.run.id", Text("r"))], "r", &[0, 1, 3, 4]),
            (&[("ml.run.id", Text("other"))], "other", &[0, 4]),
            (&[("ml.run.id", Text("other")), ("host.name", Text("x"))], "other", &[0]),
            (&[("host.name", Int(5)), ("ml.node.rank", Int(0))], "r", &[0, 1, 2]),
            // The first of two counts; the second is the client's affair.
            (&[("ml.run.id", Text("first")), ("ml.run.id", Text("second"))], "first", &[0, 4]),
        ];
        for (client, run_id, added) in cases {
            let added: Vec<_> = added.iter().map(|at| ours[*at]).collect();
            let expected = [client, &added].concat();
            let expected = Adopted { run_id: run_id.into(), encoded: encoded(&expected) };
            assert_eq!(adopt(&encoded(client), &run).unwrap(), expected, "{client:?}");
        }
    }

    #[test]
    fn an_id_that_names_no_run_is_replaced() {
        let run = Resource { run_id: "r".into(), encoded: encoded(&[("ml.run.id", Value::String("r"))]) };
        // Field 2 is the count of dropped attributes.
        let client = |id| [encoded(&[("a", Value::Int(1)), ("ml.run.id", id)]), vec![0x10, 7]].concat();
        let mut expected = [encoded(&[("a", Value::Int(1))]), vec![0x10, 7]].concat();
        expected.extend_from_slice(&run.encoded);
        for id in [Value::String(""), Value::String("a\nb"), Value::Int(7), Value::Other] {
            let adopted = adopt(&client(id), &run).unwrap();
            assert_eq!(adopted, Adopted { run_id: "r".into(), encoded: expected.clone() }, "{id:?}");
        }
    }
}
