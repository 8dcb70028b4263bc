//! What each platform calls its runs: one row a platform, the first one trusted most.
//!
//! Only the names in this file are ever read from a trainer's environment, which is full of secrets.
//! Left out on purpose, although they look like ids:
//! - `FLYTE_INTERNAL_EXECUTION_ID`, which is a bearer token on Latch;
//! - `RUNPOD_POD_ID`, `MODAL_TASK_ID`, `OMPI_MCA_ess_base_jobid`: they name a machine, or return with later runs.

/// How one platform says which run this is. Of several names the first one that is set counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Platform {
    /// The word in `ml.platform` and `ml.run.alias.<platform>`.
    pub name: &'static str,
    /// The row counts only if one of these is set; empty if the names speak for themselves.
    pub markers: &'static [&'static str],
    pub run_id: Id,
    pub parent: &'static [&'static str],
    pub root: &'static [&'static str],
    pub run_name: &'static [&'static str],
    pub experiment: &'static [&'static str],
    pub experiment_id: &'static [&'static str],
    pub project: &'static [&'static str],
    pub attempt: &'static [&'static str],
}

/// Where a platform's run id stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id {
    /// In one variable.
    Of(&'static [&'static str]),
    /// In an array's job and its task joined by `_` if both are set, else in one variable. Outside of an array
    /// the task is not set or is `no_task`.
    Array { job: &'static str, task: &'static str, no_task: &'static str, single: &'static str },
    /// In two variables that name it only together, joined by `/`.
    Pair(&'static str, &'static str),
    /// In one variable, else in a member of the JSON object in another.
    OrJson { variable: &'static str, json: &'static str, member: &'static str },
}

const NONE: Platform = Platform {
    name: "",
    markers: &[],
    run_id: Id::Of(&[]),
    parent: &[],
    root: &[],
    run_name: &[],
    experiment: &[],
    experiment_id: &[],
    project: &[],
    attempt: &[],
};

/// runlog's own variables, which name no platform.
pub(super) const OWN: &str = "runlog";

/// All platforms, in the order of trust.
pub(super) const PLATFORMS: &[Platform] = &[
    Platform {
        name: OWN,
        run_id: Id::Of(&["RUNLOG_RUN_ID"]),
        experiment: &["RUNLOG_EXPERIMENT"],
        attempt: &["RUNLOG_ATTEMPT"],
        ..NONE
    },
    Platform {
        name: "azureml",
        run_id: Id::Of(&["AZUREML_RUN_ID"]),
        root: &["AZUREML_ROOT_RUN_ID"],
        experiment: &["AZUREML_ARM_PROJECT_NAME"],
        experiment_id: &["AZUREML_EXPERIMENT_ID"],
        project: &["AZUREML_ARM_WORKSPACE_NAME"],
        ..NONE
    },
    Platform {
        name: "mlflow",
        run_id: Id::Of(&["MLFLOW_RUN_ID"]),
        experiment: &["MLFLOW_EXPERIMENT_NAME"],
        experiment_id: &["MLFLOW_EXPERIMENT_ID"],
        ..NONE
    },
    Platform {
        name: "wandb",
        run_id: Id::Of(&["WANDB_RUN_ID"]),
        run_name: &["WANDB_NAME"],
        experiment: &["WANDB_PROJECT"],
        project: &["WANDB_ENTITY"],
        ..NONE
    },
    Platform { name: "clearml", run_id: Id::Of(&["CLEARML_TASK_ID"]), ..NONE },
    Platform { name: "neptune", run_id: Id::Of(&["NEPTUNE_CUSTOM_RUN_ID"]), experiment: &["NEPTUNE_PROJECT"], ..NONE },
    Platform {
        name: "comet",
        run_id: Id::Of(&["COMET_EXPERIMENT_KEY"]),
        experiment: &["COMET_PROJECT_NAME"],
        project: &["COMET_WORKSPACE"],
        ..NONE
    },
    Platform {
        name: "swanlab",
        run_id: Id::Of(&["SWANLAB_RUN_ID"]),
        run_name: &["SWANLAB_EXP_NAME"],
        experiment: &["SWANLAB_PROJ_NAME"],
        ..NONE
    },
    Platform { name: "trackio", run_id: Id::Of(&["TRACKIO_RUN"]), experiment: &["TRACKIO_PROJECT"], ..NONE },
    Platform {
        name: "sagemaker",
        // A container without the toolkit has the ARN, one with it has the hosts.
        markers: &["TRAINING_JOB_ARN", "SM_CURRENT_HOST", "SM_TRAINING_ENV"],
        run_id: Id::OrJson { variable: "TRAINING_JOB_NAME", json: "SM_TRAINING_ENV", member: "job_name" },
        ..NONE
    },
    Platform { name: "vertexai", run_id: Id::Of(&["CLOUD_ML_JOB_ID"]), project: &["CLOUD_ML_PROJECT_ID"], ..NONE },
    Platform {
        name: "determined",
        // A trial keeps its id when it is restarted; the number of the restart is DET_TRIAL_RUN_ID.
        run_id: Id::Of(&["DET_TRIAL_ID", "DET_TASK_ID"]),
        experiment_id: &["DET_EXPERIMENT_ID"],
        attempt: &["DET_TRIAL_RUN_ID"],
        ..NONE
    },
    Platform { name: "dstack", run_id: Id::Of(&["DSTACK_RUN_ID"]), run_name: &["DSTACK_RUN_NAME"], ..NONE },
    Platform { name: "skypilot", run_id: Id::Of(&["SKYPILOT_TASK_ID"]), ..NONE },
    Platform { name: "torchx", run_id: Id::Of(&["TORCHX_JOB_ID"]), parent: &["TORCHX_PARENT_RUN_ID"], ..NONE },
    // The run's id is a pod label alone; the environment only has the number of the retry.
    Platform { name: "kfp", attempt: &["KFP_RETRY_INDEX"], ..NONE },
    Platform {
        name: "dlrover",
        markers: &["ELASTIC_JOB_NAME"],
        run_id: Id::Of(&["JOB_UID"]),
        run_name: &["ELASTIC_JOB_NAME"],
        ..NONE
    },
    Platform { name: "ray", run_id: Id::Of(&["RAY_JOB_ID"]), ..NONE },
    Platform {
        name: "slurm",
        run_id: Id::Array {
            job: "SLURM_ARRAY_JOB_ID",
            task: "SLURM_ARRAY_TASK_ID",
            no_task: "",
            single: "SLURM_JOB_ID",
        },
        experiment: &["SLURM_JOB_NAME"],
        attempt: &["SLURM_RESTART_COUNT"],
        ..NONE
    },
    Platform { name: "torchrun", run_id: Id::Of(&["TORCHELASTIC_RUN_ID"]), ..NONE },
    Platform {
        name: "lsf",
        run_id: Id::Array { job: "LSB_JOBID", task: "LSB_JOBINDEX", no_task: "0", single: "LSB_JOBID" },
        experiment: &["LSB_JOBNAME"],
        ..NONE
    },
    Platform { name: "pbs", run_id: Id::Of(&["PBS_JOBID"]), experiment: &["PBS_JOBNAME"], ..NONE },
    Platform {
        name: "sge",
        markers: &["SGE_ROOT", "SGE_TASK_ID"],
        run_id: Id::Array { job: "JOB_ID", task: "SGE_TASK_ID", no_task: "undefined", single: "JOB_ID" },
        experiment: &["JOB_NAME"],
        ..NONE
    },
    Platform { name: "flux", run_id: Id::Of(&["FLUX_JOB_ID"]), ..NONE },
    Platform { name: "polyaxon", run_id: Id::Of(&["POLYAXON_RUN_UUID"]), ..NONE },
    Platform {
        name: "airflow",
        // A DAG run's id is a time in most cases, which other DAGs share.
        run_id: Id::Pair("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID"),
        experiment: &["AIRFLOW_CTX_DAG_ID"],
        attempt: &["AIRFLOW_CTX_TRY_NUMBER"],
        ..NONE
    },
    Platform { name: "prefect", run_id: Id::Of(&["PREFECT__FLOW_RUN_ID"]), ..NONE },
    Platform { name: "ngc", run_id: Id::Of(&["NGC_JOB_ID"]), ..NONE },
];

/// How one launcher numbers its processes. Counts only if `rank` is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Launcher {
    /// Counts only if one of these is set; empty if the names speak for themselves.
    pub markers: &'static [&'static str],
    pub rank: &'static str,
    pub local_rank: &'static [&'static str],
    pub world_size: &'static [&'static str],
}

/// All launchers, the innermost first: what torchrun says of a process is nearer to it than what started torchrun.
pub(super) const LAUNCHERS: &[Launcher] = &[
    Launcher {
        markers: &["WORLD_SIZE", "TORCHELASTIC_RUN_ID"],
        rank: "RANK",
        local_rank: &["LOCAL_RANK"],
        world_size: &["WORLD_SIZE"],
    },
    Launcher {
        markers: &[],
        rank: "OMPI_COMM_WORLD_RANK",
        local_rank: &["OMPI_COMM_WORLD_LOCAL_RANK"],
        world_size: &["OMPI_COMM_WORLD_SIZE"],
    },
    Launcher {
        markers: &[],
        rank: "MV2_COMM_WORLD_RANK",
        local_rank: &["MV2_COMM_WORLD_LOCAL_RANK"],
        world_size: &["MV2_COMM_WORLD_SIZE"],
    },
    Launcher { markers: &[], rank: "PMI_RANK", local_rank: &["MPI_LOCALRANKID"], world_size: &["PMI_SIZE"] },
    Launcher {
        markers: &[],
        rank: "JSM_NAMESPACE_RANK",
        local_rank: &["JSM_NAMESPACE_LOCAL_RANK"],
        world_size: &["JSM_NAMESPACE_SIZE"],
    },
    Launcher {
        markers: &[],
        rank: "FLUX_TASK_RANK",
        local_rank: &["FLUX_TASK_LOCAL_ID"],
        world_size: &["FLUX_JOB_SIZE"],
    },
    Launcher {
        // A batch script has SLURM_PROCID=0 although it is no rank of anything; only srun's steps have these.
        markers: &["SLURM_STEP_ID", "SLURM_STEPID"],
        rank: "SLURM_PROCID",
        local_rank: &["SLURM_LOCALID"],
        world_size: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
    },
    Launcher { markers: &["ELASTIC_JOB_NAME"], rank: "WORKER_RANK", local_rank: &[], world_size: &[] },
];

/// Where the number of the node stands: (variable, a variable that has to be set as well or nothing).
pub(super) const NODE_RANKS: &[(&str, &str)] = &[
    ("GROUP_RANK", "TORCHELASTIC_RUN_ID"),
    ("PET_NODE_RANK", ""),
    ("SKYPILOT_NODE_RANK", ""),
    ("DSTACK_NODE_RANK", ""),
    ("NODE_RANK", "WORLD_SIZE"),
    ("NODE_RANK", "ELASTIC_JOB_NAME"),
    ("NODE_RANK", "AZUREML_RUN_ID"),
    ("SLURM_NODEID", ""),
    ("CLEARML_NODE_ID", ""),
    ("JOB_COMPLETION_INDEX", ""),
];
