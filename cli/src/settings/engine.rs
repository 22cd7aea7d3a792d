//! How models are computed, and what they may take.

use std::num::NonZeroU32;
use std::path::PathBuf;

use chainference_worker::engine::{KvType, Tuning};
use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is not set is chosen by the engine itself. A `[[worker.model]]` can set most of it otherwise.
#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Engine")]
pub struct EngineSettings {
    /// Memory that all models together may take, in MB [default: three quarters of what there is]
    #[arg(long, env = "CHAINFERENCE_MEMORY_MB", value_name = "MB")]
    pub memory_mb: Option<u64>,
    /// A model that nobody used for so long leaves the memory until it is wanted; 0: it stays [default: 1800]
    #[arg(long, env = "CHAINFERENCE_IDLE_UNLOAD_S", value_name = "SECONDS")]
    pub idle_unload_s: Option<u32>,
    /// How long a call waits for a model that is being loaded, before it is refused as busy [default: 20]
    #[arg(long, env = "CHAINFERENCE_LOAD_WAIT_S", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=25))]
    pub load_wait_s: Option<u32>,
    /// Layers of each model to put on a GPU, in a build for one (`GPU=cuda make build`) [default: all]
    #[arg(long, env = "CHAINFERENCE_GPU_LAYERS", value_name = "N")]
    pub gpu_layers: Option<u32>,
    /// Flash attention [default: off on a CPU, where generation is slower with it]
    #[arg(long, env = "CHAINFERENCE_FLASH_ATTENTION", value_name = "BOOL")]
    pub flash_attention: Option<bool>,
    /// What the KV cache holds for each number: f16, q8_0 or q4_0 [default: f16]
    #[arg(long, env = "CHAINFERENCE_KV_TYPE", value_name = "TYPE", value_parser = kv_type)]
    #[schemars(with = "Option<String>")]
    pub kv_type: Option<KvType>,
    /// Leave the weights in the model file's own pages, which several processes can share, instead of reading them into
    /// memory [default: only with a GPU; generation is slower with it on a CPU]
    #[arg(long, env = "CHAINFERENCE_MMAP", value_name = "BOOL")]
    pub mmap: Option<bool>,
    /// Tokens in one step [default: 512]
    #[arg(long, env = "CHAINFERENCE_BATCH_TOKENS", value_name = "TOKENS")]
    pub batch_tokens: Option<NonZeroU32>,
    /// Tokens that are computed at once within a step [default: all of it]
    #[arg(long, env = "CHAINFERENCE_UBATCH_TOKENS", value_name = "TOKENS")]
    pub ubatch_tokens: Option<NonZeroU32>,
    /// Program to start as the engine, which must speak as it does [default: chainference itself]
    #[arg(long, env = "CHAINFERENCE_ENGINE_BIN", value_name = "PATH")]
    #[serde(rename = "binary")]
    pub engine_bin: Option<PathBuf>,
}

impl EngineSettings {
    pub fn tuning(&self) -> Tuning {
        Tuning {
            flash_attention: self.flash_attention,
            kv_type: self.kv_type,
            mmap: self.mmap,
            step_tokens: self.batch_tokens,
            ubatch_tokens: self.ubatch_tokens,
            ..Tuning::default()
        }
    }

    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_mb.map(|mb| mb.saturating_mul(1_000_000))
    }
}

fn kv_type(text: &str) -> Result<KvType, String> {
    match text {
        "f16" => Ok(KvType::F16),
        "q8_0" => Ok(KvType::Q8_0),
        "q4_0" => Ok(KvType::Q4_0),
        _ => Err("f16, q8_0 or q4_0".to_owned()),
    }
}
