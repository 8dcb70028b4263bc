use std::{cell::RefCell, collections::BTreeSet};

use super::*;

fn of(variables: &[(&str, &str)]) -> Identity {
    identify(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

/// A platform, its variables, and what they say: run id, experiment, attempt.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

const ROWS: &[Row<'_>] = &[
    ("runlog", &[("RUNLOG_RUN_ID", "r1"), ("RUNLOG_EXPERIMENT", "e"), ("RUNLOG_ATTEMPT", "2")], "r1", "e", "2"),
    ("azureml", &[("AZUREML_RUN_ID", "exp_1_ab"), ("AZUREML_ARM_PROJECT_NAME", "e")], "exp_1_ab", "e", ""),
    ("mlflow", &[("MLFLOW_RUN_ID", "0a1b"), ("MLFLOW_EXPERIMENT_NAME", "e")], "0a1b", "e", ""),
    ("wandb", &[("WANDB_RUN_ID", "1b2c"), ("WANDB_PROJECT", "e")], "1b2c", "e", ""),
    ("clearml", &[("CLEARML_TASK_ID", "ffee")], "ffee", "", ""),
    ("neptune", &[("NEPTUNE_CUSTOM_RUN_ID", "n1"), ("NEPTUNE_PROJECT", "team/e")], "n1", "team/e", ""),
    ("comet", &[("COMET_EXPERIMENT_KEY", "c1"), ("COMET_PROJECT_NAME", "e")], "c1", "e", ""),
    ("swanlab", &[("SWANLAB_RUN_ID", "s1"), ("SWANLAB_PROJ_NAME", "'e'")], "s1", "e", ""),
    ("trackio", &[("TRACKIO_RUN", "t1"), ("TRACKIO_PROJECT", "e")], "t1", "e", ""),
    ("sagemaker", &[("TRAINING_JOB_NAME", "job"), ("TRAINING_JOB_ARN", "arn:aws:x")], "job", "", ""),
    ("sagemaker", &[("SM_TRAINING_ENV", r#"{"job_name":"job","x":"${HOME}"}"#)], "job", "", ""),
    ("vertexai", &[("CLOUD_ML_JOB_ID", "123"), ("CLOUD_ML_PROJECT_ID", "p")], "123", "", ""),
    ("determined", &[("DET_TRIAL_ID", "12"), ("DET_TRIAL_RUN_ID", "3"), ("DET_TASK_ID", "u")], "12", "", "3"),
    ("determined", &[("DET_TASK_ID", "u")], "u", "", ""),
    ("dstack", &[("DSTACK_RUN_ID", "d1"), ("DSTACK_RUN_NAME", "happy-fox")], "d1", "", ""),
    ("skypilot", &[("SKYPILOT_TASK_ID", "sky-2026-1")], "sky-2026-1", "", ""),
    ("torchx", &[("TORCHX_JOB_ID", "slurm://s/1"), ("TORCHX_PARENT_RUN_ID", "p")], "slurm://s/1", "", ""),
    ("", &[("KFP_RETRY_INDEX", "1")], "", "", "1"),
    ("dlrover", &[("JOB_UID", "u1"), ("ELASTIC_JOB_NAME", "train")], "u1", "", ""),
    ("", &[("JOB_UID", "u1")], "", "", ""),
    ("ray", &[("RAY_JOB_ID", "01000000")], "01000000", "", ""),
    ("slurm", &[("SLURM_JOB_ID", "7"), ("SLURM_JOB_NAME", "e"), ("SLURM_RESTART_COUNT", "1")], "7", "e", "1"),
    ("slurm", &[("SLURM_JOB_ID", "9"), ("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "0")], "7_0", "", ""),
    ("torchrun", &[("TORCHELASTIC_RUN_ID", "rdzv-1")], "rdzv-1", "", ""),
    ("lsf", &[("LSB_JOBID", "5"), ("LSB_JOBINDEX", "0"), ("LSB_JOBNAME", "e")], "5", "e", ""),
    ("lsf", &[("LSB_JOBID", "5"), ("LSB_JOBINDEX", "2")], "5_2", "", ""),
    ("pbs", &[("PBS_JOBID", "5[2].head"), ("PBS_JOBNAME", "e")], "5[2].head", "e", ""),
    ("sge", &[("JOB_ID", "5"), ("SGE_TASK_ID", "undefined"), ("JOB_NAME", "e")], "5", "e", ""),
    ("sge", &[("JOB_ID", "5"), ("SGE_TASK_ID", "3")], "5_3", "", ""),
    ("", &[("JOB_ID", "5"), ("JOB_NAME", "e")], "", "", ""),
    ("flux", &[("FLUX_JOB_ID", "f2x")], "f2x", "", ""),
    ("polyaxon", &[("POLYAXON_RUN_UUID", "abc")], "abc", "", ""),
    (
        "airflow",
        &[("AIRFLOW_CTX_DAG_ID", "dag"), ("AIRFLOW_CTX_DAG_RUN_ID", "manual__1"), ("AIRFLOW_CTX_TRY_NUMBER", "2")],
        "dag/manual__1",
        "dag",
        "2",
    ),
    ("prefect", &[("PREFECT__FLOW_RUN_ID", "0f")], "0f", "", ""),
    ("ngc", &[("NGC_JOB_ID", "3268105")], "3268105", "", ""),
];

#[test]
fn each_platform_tells_the_run_in_its_own_variables() {
    for (platform, variables, run_id, experiment, attempt) in ROWS {
        let found = of(variables);
        let told = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(found.run_id.as_ref().map_or("", RunId::as_str), *run_id, "{variables:?}");
        assert_eq!(told(&found.experiment), *experiment, "{variables:?}");
        assert_eq!(told(&found.attempt), *attempt, "{variables:?}");
        let named = if *platform == "runlog" { "" } else { platform };
        assert_eq!(found.platform.unwrap_or_default(), named, "{variables:?}");
        assert_eq!(found.aliases, [], "{variables:?}");
    }
}

#[test]
fn every_platform_has_a_case() {
    let tried: BTreeSet<&str> = ROWS.iter().map(|(platform, ..)| *platform).collect();
    for platform in PLATFORMS {
        assert!(tried.contains(platform.name) || platform.name == "kfp", "{} has none", platform.name);
    }
}

#[test]
fn the_first_platform_names_the_run_and_the_others_become_aliases() {
    let found = of(&[
        ("SLURM_JOB_ID", "7"),
        ("WANDB_RUN_ID", "w"),
        ("MLFLOW_RUN_ID", "same"),
        ("AZUREML_RUN_ID", "same"),
        ("AZUREML_ROOT_RUN_ID", "root"),
        ("TORCHX_PARENT_RUN_ID", "of another run"),
        ("TORCHELASTIC_RUN_ID", "none"),
    ]);
    assert_eq!(found.run_id.unwrap().as_str(), "same");
    assert_eq!(found.platform, Some("azureml"));
    assert_eq!(found.aliases, [("wandb", "w".to_owned()), ("slurm", "7".to_owned())]);
    assert_eq!((found.root_id.as_deref(), found.parent_id), (Some("root"), None));
}

#[test]
fn an_experiments_name_and_id_are_of_the_same_experiment() {
    let found = of(&[("RUNLOG_EXPERIMENT", "mine"), ("MLFLOW_EXPERIMENT_ID", "42"), ("SLURM_JOB_NAME", "batch")]);
    assert_eq!((found.experiment.as_deref(), found.experiment_id), (Some("mine"), None));
    let found = of(&[("MLFLOW_EXPERIMENT_ID", "42"), ("SLURM_JOB_NAME", "batch")]);
    assert_eq!((found.experiment, found.experiment_id.as_deref()), (None, Some("42")));
}

#[test]
fn values_that_say_nothing_count_as_not_set() {
    for value in ["", "  ", "none", "None", "\"\"", "$(RUN_ID)", "${RUN_ID}", "{{workflow.uid}}", "run-{{uid}}", "a\nb"]
    {
        assert_eq!(of(&[("RUNLOG_RUN_ID", value)]).run_id, None, "{value:?}");
    }
    assert_eq!(of(&[("RUNLOG_RUN_ID", "\"run 1\"")]).run_id, RunId::new("run 1").ok());
}

#[test]
fn the_innermost_launcher_gives_the_ranks() {
    let ranks = |variables: &[(&str, &str)]| {
        let found = of(variables);
        (found.rank, found.local_rank, found.world_size)
    };
    let slurm = [("SLURM_PROCID", "1"), ("SLURM_LOCALID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_STEP_ID", "0")];
    let torchrun = [("RANK", "9"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "16")];
    assert_eq!(ranks(&slurm), (Some(1), Some(0), Some(2)));
    assert_eq!(ranks(&[slurm.as_slice(), &torchrun].concat()), (Some(9), Some(1), Some(16)));
    assert_eq!(ranks(&slurm[..3]), (None, None, None), "a batch script is no rank");
    assert_eq!(ranks(&[("RANK", "9")]), (None, None, None), "RANK alone may be anything");
    let others = [
        [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")],
        [("MV2_COMM_WORLD_RANK", "3"), ("MV2_COMM_WORLD_LOCAL_RANK", "1"), ("MV2_COMM_WORLD_SIZE", "4")],
        [("PMI_RANK", "3"), ("MPI_LOCALRANKID", "1"), ("PMI_SIZE", "4")],
        [("JSM_NAMESPACE_RANK", "3"), ("JSM_NAMESPACE_LOCAL_RANK", "1"), ("JSM_NAMESPACE_SIZE", "4")],
        [("FLUX_TASK_RANK", "3"), ("FLUX_TASK_LOCAL_ID", "1"), ("FLUX_JOB_SIZE", "4")],
    ];
    for variables in others {
        assert_eq!(ranks(&variables), (Some(3), Some(1), Some(4)), "{variables:?}");
    }
    assert_eq!(ranks(&[("WORKER_RANK", "3"), ("ELASTIC_JOB_NAME", "x")]), (Some(3), None, None));
}

#[test]
fn the_node_and_the_restart_are_numbers() {
    let cases: [&[(&str, &str)]; 9] = [
        &[("GROUP_RANK", "2"), ("TORCHELASTIC_RUN_ID", "none"), ("SLURM_NODEID", "5")],
        &[("PET_NODE_RANK", "2")],
        &[("SKYPILOT_NODE_RANK", "2")],
        &[("DSTACK_NODE_RANK", "2")],
        &[("NODE_RANK", "2"), ("WORLD_SIZE", "4")],
        &[("SLURM_NODEID", "2")],
        &[("CLEARML_NODE_ID", "2")],
        &[("JOB_COMPLETION_INDEX", "2")],
        &[("SM_CURRENT_HOST", "algo-3"), ("SM_HOSTS", r#"["algo-1","algo-2","algo-3"]"#)],
    ];
    for variables in cases {
        assert_eq!(of(variables).node_rank, Some(2), "{variables:?}");
    }
    let training = r#"{"current_host":"algo-2","hosts":["algo-1","algo-2"]}"#;
    assert_eq!(of(&[("SM_TRAINING_ENV", training)]).node_rank, Some(1));
    assert_eq!(of(&[("NODE_RANK", "2")]).node_rank, None, "NODE_RANK alone may be anything");
    assert_eq!(of(&[("TORCHELASTIC_RESTART_COUNT", "3")]).restart, Some(3));
    assert_eq!(of(&[("TORCHELASTIC_RESTART_COUNT", "three")]).restart, None);
}

#[test]
fn no_secret_is_asked_for() {
    let asked = RefCell::new(BTreeSet::new());
    // Every name is asked for once with a value, so that markers open their rows, and once without.
    for value in [Some("1".to_owned()), None] {
        let _ = identify(&|name| {
            asked.borrow_mut().insert(name.to_owned());
            value.clone()
        });
    }
    for name in asked.borrow().iter() {
        let secret = ["TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL"].iter().find(|word| name.contains(**word));
        assert_eq!(secret, None, "{name}");
        assert_ne!(name, "FLYTE_INTERNAL_EXECUTION_ID");
    }
}

#[test]
fn what_an_operator_chose_wins_and_keeps_the_id_that_was_found() {
    let mut found = of(&[("AZUREML_RUN_ID", "az"), ("AZUREML_ROOT_RUN_ID", "root"), ("AZUREML_EXPERIMENT_ID", "1")]);
    found.choose(RunId::new("mine").ok(), Some("e".to_owned()));
    assert_eq!(found.run_id, RunId::new("mine").ok());
    assert_eq!(found.aliases, [("azureml", "az".to_owned())]);
    assert_eq!((found.root_id.clone(), found.experiment_id.clone()), (None, None));
    assert_eq!(found.experiment.as_deref(), Some("e"));

    let before = found.clone();
    found.choose(None, None);
    assert_eq!(found, before);
    found.choose(RunId::new("az").ok(), None);
    assert_eq!(found.aliases, [("runlog", "mine".to_owned())], "the chosen id is no alias of itself");
}
