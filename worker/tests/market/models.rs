//! Several models in one worker: an offer each, one memory for all.

use std::time::Duration;

use chainference_chain::Abilities;
use chainference_chain::accounts::Offer;
use chainference_market::Prices;
use chainference_protocol::{Embedding, ErrorCode, Frame, Prompt, Task};
use chainference_worker::models::ModelSource;
use chainference_worker::{ModelOptions, Options};
use sha2::{Digest, Sha256};

use crate::client::{Ask, Job};
use crate::minilm;
use crate::place::{MODEL, Place};

/// As the files call themselves.
const CHAT: &str = "Smollm2";
const EMBED: &str = "MiniLM";
const EMBED_PRICES: Prices =
    Prices { input_per_mtok: 50_000, output_per_mtok: 0, charge_min: 1_000 };
/// Enough for either model, not for both.
const ONE_AT_A_TIME_BYTES: u64 = 800 << 20;

fn embedder() -> ModelOptions {
    let source = ModelSource::File(minilm::MODEL.clone());
    ModelOptions { prices: Some(EMBED_PRICES), ..source.into() }
}

fn both(options: &mut Options) {
    options.models = vec![ModelSource::File(MODEL.clone()).into(), embedder()];
}

fn texts(count: usize) -> Task {
    let inputs = (0..count).map(|n| Prompt::Text(format!("This is text number {n}."))).collect();
    Task::Embed(Embedding { inputs, dimensions: None })
}

async fn offers(place: &Place) -> Vec<Offer> {
    let mut offers: Vec<_> =
        place.chain.offers().await.unwrap().into_iter().map(|(_, offer)| offer).collect();
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.context_tokens));
    offers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_have_an_offer_each_and_take_turns_in_memory() {
    let place = Place::new().await;
    let worker = place
        .worker(|options| {
            both(options);
            options.memory_bytes = Some(ONE_AT_A_TIME_BYTES);
        })
        .await;
    let offers = offers(&place).await;
    let hash = |path| <[u8; 32]>::from(Sha256::digest(std::fs::read(path).unwrap()));
    assert_eq!(
        [&offers[0].gguf_sha256, &offers[1].gguf_sha256],
        [&hash(MODEL.as_path()), &hash(minilm::MODEL.as_path())]
    );
    assert_eq!((offers[0].context_tokens, offers[1].context_tokens), (4_096, 512));
    assert!(Abilities::of(&offers[0]).contains(Abilities::CHAT | Abilities::TOOLS));
    assert_eq!(Abilities::of(&offers[1]), Abilities::EMBEDDINGS);
    assert_eq!((offers[0].prices(), offers[1].prices()), (place.prices(), EMBED_PRICES));

    let (chat, embed) = (place.client_for(CHAT).await, place.client_for(EMBED).await);
    chat.eventually("/health", r#""state":"unloaded""#).await;
    let job = embed.open_job(100_000).await;
    let mut answer = embed.ask(&job, 0, texts(3)).await.unwrap();
    let said = answer.vouching(&embed).await;
    assert_eq!(said.vectors, [384 * 4; 3]);
    assert_eq!(said.totals.tokens_out, 0);
    embed.vouch(&job, said.totals, true).await.unwrap();
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, EMBED_PRICES.cost(said.totals).unwrap().0);

    // The other one comes back, and this one goes.
    let job = chat.open_job(1_000_000).await;
    let mut answer = chat.call(&job, 0, Ask::short()).await.unwrap();
    assert!(answer.vouching(&chat).await.text.contains("Paris"));

    // While it serves a call, which waits for a voucher here, it is not taken away.
    let mut long = chat.call(&job, 1, Ask::new(crate::LONG, 900)).await.unwrap();
    long.until_silent(Duration::from_secs(1)).await;
    let terms = embed.terms(100_000).await;
    let refused = embed.quote(&terms).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, (429, ErrorCode::Busy));
    drop(long);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_its_model_as_long_as_is_allowed() {
    let place = Place::new().await;
    let worker = place
        .worker(|options| {
            both(options);
            options.memory_bytes = Some(ONE_AT_A_TIME_BYTES);
            options.load_wait_s = 2;
            options.voucher_timeout_s = 60;
        })
        .await;
    let (chat, embed) = (place.client_for(CHAT).await, place.client_for(EMBED).await);
    // Quoted and locked while the memory was free for it; then the other one takes it back.
    let job = embed.open_job(100_000).await;
    let other = chat.open_job(1_000_000).await;
    let mut long = chat.call(&other, 0, Ask::new(crate::LONG, 900)).await.unwrap();
    long.until_silent(Duration::from_secs(1)).await;
    let refused = embed.ask(&job, 0, texts(1)).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, (429, ErrorCode::Busy));

    // It ends while the next call waits.
    let ends = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(long);
    };
    let (served, ()) = tokio::join!(embed.eventually_served(&job, texts(1)), ends);
    assert_eq!(served.vectors, [384 * 4]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_model_leaves_the_memory_and_comes_back_for_a_call() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.idle_unload_s = 1).await;
    let client = place.client().await;
    client.eventually("/health", r#""state":"unloaded""#).await;
    let job = client.open_job(100_000).await;
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(said.text.contains("Paris"), "{}", said.text);
    client.eventually("/health", r#""state":"unloaded""#).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_go_out_once_their_input_is_vouched_for() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.models = vec![embedder()]).await;
    let client = place.client().await;
    let job: Job = client.open_job(100_000).await;
    let mut answer = client.ask(&job, 0, texts(2)).await.unwrap();
    let unpaid = answer.until_silent(Duration::from_secs(1)).await;
    assert!(unpaid.vectors.is_empty() && unpaid.totals.tokens_in > 0);
    client.vouch(&job, unpaid.totals, false).await.unwrap();
    let said = answer.rest().await;
    assert_eq!(said.vectors, [384 * 4; 2]);

    let long = Task::Embed(Embedding {
        inputs: vec![Prompt::Text("word ".repeat(600))],
        dimensions: None,
    });
    let refused = client.ask(&job, 1, long).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, (400, ErrorCode::ContextLengthExceeded));
    let refused = client.call(&job, 2, Ask::short()).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, (400, ErrorCode::InvalidRequest));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_of_models_that_are_not_served_end() {
    let place = Place::new().await;
    let active = async || offers(&place).await.iter().map(Offer::active).collect::<Vec<_>>();
    let once = async |change: &dyn Fn(&mut Options)| {
        place.worker(change).await.stop().await;
        place.ledger_is_free().await;
    };
    once(&both).await;
    assert_eq!(active().await, [true, true]);
    // Without the owner's key they rest, with it they are taken back.
    let chat_only = |options: &mut Options| {
        options.models = vec![ModelSource::File(MODEL.clone()).into()];
    };
    let keyless = |options: &mut Options| {
        chat_only(options);
        options.owner_key_path = options.owner_key_path.with_file_name("away.json");
    };
    once(&keyless).await;
    assert_eq!(active().await, [true, false]);
    once(&both).await;
    assert_eq!(active().await, [true, true]);
    let worker = place.worker(chat_only).await;
    assert_eq!(active().await, [true]);
    let client = place.client().await;
    let job = client.open_job(100_000).await;
    let mut answer = client.call(&job, 0, Ask::short()).await.unwrap();
    assert!(matches!(answer.next().await, Some(Frame::Accepted { .. })));
    worker.stop().await;
}
