//! A Kubernetes pod: what names it, and which run it is if nothing says otherwise.

use super::{Facts, Identity, RunId, identity::says_something};

/// The word in `ml.platform` and `ml.run.alias.<platform>`.
const PLATFORM: &str = "kubernetes";

/// Set in each container of a pod, whatever the pod's author did.
const MARKER: &str = "KUBERNETES_SERVICE_HOST";

/// The characters of the ends that Kubernetes gives to names, and how many it takes.
/// Source: kubernetes `apimachinery/pkg/util/rand` and `apiserver/pkg/storage/names`.
const SUFFIX: (&str, usize) = ("bcdfghjklmnpqrstvwxz2456789", 5);

/// What is known of a pod. Empty where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The node that it runs on.
    pub node: String,
    /// The job or set of jobs that it is of.
    pub job: String,
    /// Its number in an indexed job.
    pub index: Option<u32>,
}

impl Pod {
    /// The pod of this environment, as far as its author let Kubernetes write it there. `None` outside of a pod, and if
    /// neither name nor job stands there.
    #[must_use]
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        variable(MARKER)?;
        let first = |names: &[&str]| names.iter().find_map(|name| says_something(&variable(name)?)).unwrap_or_default();
        let pod = Self {
            namespace: first(&["K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE"]),
            name: first(&["K8S_POD_NAME", "POD_NAME", "KFP_POD_NAME"]),
            uid: first(&["K8S_POD_UID", "POD_UID", "KFP_POD_UID"]),
            node: first(&["K8S_NODE_NAME", "NODE_NAME"]),
            // JOB_NAME alone is Jenkins' as well.
            job: first(&["K8S_JOB_NAME"]),
            index: first(&["JOB_COMPLETION_INDEX"]).parse().ok(),
        };
        (!pod.name.is_empty() || !pod.job.is_empty()).then_some(pod)
    }

    /// The name of what the pod was made for: its job, else its own name without what was generated.
    #[must_use]
    pub fn run_name(&self) -> &str {
        if !self.job.is_empty() {
            return &self.job;
        }
        let (stem, is_generated) = match self.name.rsplit_once('-') {
            Some((stem, end)) if is_suffix(end) && !stem.is_empty() => (stem, true),
            _ => (self.name.as_str(), false),
        };
        // Pods of an indexed job have its number before the generated end.
        let number = self.index.filter(|_| is_generated).map(|index| format!("-{index}"));
        number.and_then(|number| stem.strip_suffix(&number)).unwrap_or(stem)
    }

    /// The run that the pod is of if nothing says otherwise: of all pods of a job the same.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        let name = self.run_name();
        let qualified = [self.namespace.as_str(), "/", name].concat();
        RunId::new(if self.namespace.is_empty() { name } else { &qualified }).ok()
    }

    /// Lets the pod say what nothing else has said. Where the run has an id already, the pod's becomes an alias.
    pub fn complete(&self, identity: &mut Identity) {
        identity.node_rank = identity.node_rank.or(self.index);
        let Some(own) = self.run_id() else { return };
        match &identity.run_id {
            None => {
                identity.run_id = Some(own);
                identity.platform = Some(PLATFORM);
                identity.name = Some(self.run_name().to_owned());
            }
            Some(id) if *id == own || identity.aliases.iter().any(|(name, _)| *name == PLATFORM) => {}
            Some(_) => identity.aliases.push((PLATFORM, own.as_str().to_owned())),
        }
    }

    /// Adds the pod's own names.
    pub fn tell(&self, facts: &mut Facts) {
        let names = [
            ("k8s.namespace.name", &self.namespace),
            ("k8s.pod.name", &self.name),
            ("k8s.pod.uid", &self.uid),
            ("k8s.node.name", &self.node),
            ("k8s.job.name", &self.job),
        ];
        facts.0.extend(names.map(|(key, value)| (key.to_owned(), value.clone())));
    }
}

fn is_suffix(text: &str) -> bool {
    let (characters, length) = SUFFIX;
    text.len() == length && text.chars().all(|character| characters.contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, job: &str, index: Option<u32>) -> Pod {
        let (namespace, name, job) = ("ml".to_owned(), name.to_owned(), job.to_owned());
        Pod { namespace, name, job, index, ..Pod::default() }
    }

    #[test]
    fn all_pods_of_a_job_are_one_run() {
        let cases = [
            (named("train-x7k2p", "", None), "ml/train"),
            (named("train-1-x7k2p", "train", Some(1)), "ml/train"),
            (named("train-1-x7k2p", "", Some(1)), "ml/train"),
            (named("train-1-x7k2p", "", None), "ml/train-1"),
            (named("train-1", "", Some(1)), "ml/train-1"),
            (named("train-model", "", None), "ml/train-model"),
            (named("train", "", None), "ml/train"),
            (named("-x7k2p", "", None), "ml/-x7k2p"),
        ];
        for (pod, run) in cases {
            assert_eq!(pod.run_id().unwrap().as_str(), run, "{pod:?}");
        }
        assert_eq!(Pod { namespace: String::new(), ..named("train", "", None) }.run_id().unwrap().as_str(), "train");
    }

    #[test]
    fn a_pod_is_found_in_the_environment_that_the_downward_api_writes() {
        let variables = [
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("POD_NAME", "train-0-x7k2p"),
            ("K8S_NAMESPACE", "ml"),
            ("POD_UID", "u"),
            ("NODE_NAME", "$(NODE)"),
            ("JOB_COMPLETION_INDEX", "0"),
        ];
        let value = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let pod = Pod::of_environment(&value).unwrap();
        assert_eq!((pod.uid.as_str(), pod.node.as_str(), pod.index), ("u", "", Some(0)));
        assert_eq!(pod.run_id().unwrap().as_str(), "ml/train");
        assert_eq!(Pod::of_environment(&|name| value(name).filter(|_| name != "KUBERNETES_SERVICE_HOST")), None);
        assert_eq!(Pod::of_environment(&|name| value(name).filter(|_| name != "POD_NAME")), None);
    }

    #[test]
    fn what_the_platform_says_of_a_run_stands_and_the_pod_is_another_name_of_it() {
        let mut identity = Identity { run_id: RunId::new("mlflow-1").ok(), ..Identity::default() };
        let pod = named("train-2-x7k2p", "train", Some(2));
        pod.complete(&mut identity);
        assert_eq!(identity.run_id, RunId::new("mlflow-1").ok());
        assert_eq!((identity.aliases, identity.node_rank), (vec![("kubernetes", "ml/train".to_owned())], Some(2)));

        let mut identity = Identity { node_rank: Some(7), ..Identity::default() };
        pod.complete(&mut identity);
        assert_eq!((identity.platform, identity.name.as_deref()), (Some("kubernetes"), Some("train")));
        assert_eq!((identity.aliases, identity.node_rank), (Vec::new(), Some(7)));
    }
}
