//! Clients of other makers, set up as their own documents say.

use std::fs;

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, installed, sdk},
    market::Market,
};
use serde_json::json;

#[test]
fn langchain_talks_streams_and_calls_a_tool() {
    let market = Market::new();
    let body = json!({"model": MODEL, "prompt": QUESTION, "max_tokens": 24});
    let plain = sdk(&market, Sdk::LangChain, "plain", &body);
    assert!(plain["content"].as_str().is_some_and(|text| text.contains("Paris")), "{plain}");
    assert!(plain["usage"]["output_tokens"].as_u64() > Some(0), "{plain}");
    let streamed = sdk(&market, Sdk::LangChain, "stream", &body);
    assert_eq!(streamed["content"], plain["content"]);
    assert_eq!(streamed["usage"]["input_tokens"], plain["usage"]["input_tokens"]);
    assert!(streamed["chunks"].as_u64() > Some(2), "{streamed}");
    let body = json!({"model": MODEL, "prompt": "How is the weather in Rome?", "max_tokens": 64});
    let called = sdk(&market, Sdk::LangChain, "tool", &body);
    assert_eq!(called["calls"][0]["name"], "get_weather", "{called}");
    assert!(called["calls"][0]["args"]["city"].is_string(), "{called}");
}

#[test]
fn llm_asks_from_the_command_line() {
    let market = Market::new();
    let home = market.place.home().join("llm");
    fs::create_dir_all(&home).expect("a folder");
    let models = format!(
        "- model_id: here\n  model_name: {MODEL}\n  api_base: \"{}\"\n  api_key_name: chainference\n",
        market.base_url()
    );
    fs::write(home.join("extra-openai-models.yaml"), models).expect("written");
    let keys = json!({"chainference": market.key()});
    fs::write(home.join("keys.json"), keys.to_string()).expect("written");
    for more in [&[][..], &["--no-stream"]] {
        let mut llm = std::process::Command::new(installed("llm-").join("bin/llm"));
        llm.args(["prompt", QUESTION, "-m", "here", "-o", "temperature", "0", "--no-log"]);
        let output = llm.args(more).env("LLM_USER_PATH", &home).output().expect("llm runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("Paris"), "{output:?}");
    }
}
