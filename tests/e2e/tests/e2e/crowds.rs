//! More sockets, bytes and calls than there is room for: the gateway says so, and goes on serving.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chainference_e2e::{
    client::{Answer, QUESTION, chat, curl, post},
    eventually,
    market::{Market, Place},
    money::{Keys, audit},
    process,
};
use serde_json::{Value, json};

const BODY_BYTES_MAX: usize = 100_000;

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux").count()
}

fn ask(market: &Market) -> u16 {
    post(market, &market.key(), &chat(QUESTION, json!({"max_tokens": 8})).to_string()).status
}

/// Sockets that have sent the beginning of a request.
fn begun(port: u16, count: usize) -> Vec<TcpStream> {
    let begin = |_| {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").expect("sent");
        socket
    };
    (0..count).map(begin).collect()
}

/// Sends one more byte on each that is open still; tells how many are.
fn trickle(sockets: &mut [TcpStream]) -> usize {
    let is_open = |socket: &mut TcpStream| {
        socket.set_nonblocking(true).expect("set");
        let ended = socket.read(&mut [0; 512]).is_ok();
        !ended && socket.write_all(b"x").is_ok()
    };
    sockets.iter_mut().filter_map(|socket| is_open(socket).then_some(())).count()
}

#[test]
fn hundreds_of_sockets_that_trickle_keep_nobody_from_a_paid_answer() {
    let market = Place::new().with(&["--connections-max", "64"]).start();
    let keys = Keys::of(&market);
    assert_eq!(ask(&market), 200);
    let parts = ["gateway", "worker"].map(|name| market.part(name));
    let files = parts.map(open_files);
    let mut at_gateway = begun(market.gateway, 500);
    let mut at_worker = begun(market.worker, 500);
    for _ in 0..5 {
        assert_eq!(ask(&market), 200);
        assert!(trickle(&mut at_gateway) <= 64, "the oldest had to go");
        trickle(&mut at_worker);
    }
    assert!(open_files(parts[0]) <= files[0] + 64 + 16, "{} files", open_files(parts[0]));
    let memory = parts.map(process::memory_bytes);
    eprintln!("with 1,000 slow sockets: {:?} MiB", memory.map(|bytes| bytes >> 20));
    // However slowly they go on, headers must be whole in ten seconds.
    eventually("all were cut", 20, || {
        let left = trickle(&mut at_gateway) + trickle(&mut at_worker);
        std::thread::sleep(Duration::from_millis(200));
        (left == 0).then_some(())
    });
    drop((at_gateway, at_worker));
    eventually("their files are closed", 20, || {
        let is_well = |(part, files)| open_files(part) <= files + 16;
        parts.into_iter().zip(files).all(is_well).then_some(())
    });
    assert_eq!(ask(&market), 200);
    audit(&market, &keys);
}

/// Sends a body of that many bytes, with its length told before or not, and only then listens.
fn send(market: &Market, key: &str, bytes: usize, is_chunked: bool) -> Answer {
    let mut socket = TcpStream::connect(("127.0.0.1", market.gateway)).expect("listening");
    let length = match is_chunked {
        true => format!("transfer-encoding: chunked\r\n\r\n{bytes:x}"),
        false => format!("content-length: {bytes}"),
    };
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         connection: close\r\n{length}\r\n"
    );
    let end = if is_chunked { "\r\n0\r\n\r\n" } else { "" };
    let begin = if is_chunked { "" } else { "\r\n" };
    for part in [head.as_bytes(), begin.as_bytes(), &vec![b'x'; bytes], end.as_bytes()] {
        socket.write_all(part).unwrap_or_else(|error| panic!("{bytes}: cut off: {error}"));
    }
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("an answer");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

#[test]
fn a_body_that_is_too_large_is_refused_in_words_however_large_it_is() {
    let most = BODY_BYTES_MAX.to_string();
    let market = Place::new().with(&["--body-bytes-max", &most]).start();
    let gateway = market.part("gateway");
    let before = process::memory_bytes(gateway);
    for bytes in [BODY_BYTES_MAX + 1, 1 << 20, 50 << 20] {
        for is_chunked in [false, true] {
            for _ in 0..5 {
                let answer = send(&market, &market.key(), bytes, is_chunked);
                let code = &answer.body["error"]["code"];
                assert_eq!((answer.status, code), (413, &json!("request_too_large")), "{bytes}");
                let answer = send(&market, "sk-cf-x", bytes, is_chunked);
                let code = &answer.body["error"]["code"];
                assert_eq!((answer.status, code), (401, &json!("invalid_api_key")), "{bytes}");
            }
        }
    }
    let grown = process::memory_bytes(gateway).saturating_sub(before);
    assert!(grown < 16 << 20, "nothing of it is kept: {grown} bytes");
    assert_eq!(ask(&market), 200);
}

/// A long answer in the background.
fn stream(market: &Market) -> Child {
    let body = chat("Tell me a long story.", json!({"stream": true, "max_tokens": 1500}));
    Command::new("curl")
        .args(["-sN", "--max-time", "60", &format!("{}/chat/completions", market.base_url())])
        .args(["-H", &format!("authorization: Bearer {}", market.key()), "-d", &body.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("curl")
}

fn await_running(market: &Market, calls: u64) {
    eventually("they run", 30, || {
        let status = market.json(&["worker", "status", "--json"]);
        (status["running"]["calls"]["running"] == calls).then_some(())
    });
}

#[test]
fn more_calls_than_there_are_places_hear_when_to_come_back() {
    let market = Place::new().with(&["--concurrency-max", "2"]).start();
    let mut streams = [stream(&market), stream(&market)];
    await_running(&market, 2);
    let answer = post(&market, &market.key(), &chat(QUESTION, json!({})).to_string());
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert_eq!(answer.body["error"]["code"], "concurrency_limit_exceeded");
    let headers = curl(&[
        "-s",
        "-D",
        "-",
        "-o",
        "/dev/null",
        &format!("{}/models", market.base_url()),
        "-H",
        &format!("authorization: Bearer {}", market.key()),
    ]);
    assert!(headers.contains("retry-after: 1"), "{headers}");
    for stream in &mut streams {
        stream.kill().expect("killed");
        stream.wait().expect("waited for");
    }
    eventually("their places are free", 10, || (ask(&market) == 200).then_some(()));
}

#[test]
fn connections_that_wait_make_room_and_those_in_use_are_left_alone() {
    let market = Place::new().with(&["--connections-max", "4"]).start();
    // Kept open between two requests: idle.
    let mut idle: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut socket = TcpStream::connect(("127.0.0.1", market.gateway)).expect("listening");
            socket.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
            assert!(socket.read(&mut [0; 1024]).is_ok_and(|count| count > 0), "it is answered");
            socket
        })
        .collect();
    assert_eq!(ask(&market), 200);
    assert_eq!(idle[0].read(&mut [0; 1]).unwrap_or(0), 0, "the oldest had to go");
    drop(idle);
    let mut streams: Vec<Child> = (0..4).map(|_| stream(&market)).collect();
    await_running(&market, 4);
    let health = format!("http://127.0.0.1:{}/health", market.gateway);
    let in_vain = curl(&["-s", "--max-time", "1", &health]);
    assert_eq!(in_vain, "", "all are in use: it has to wait");
    let is_going_on = |stream: &mut Child| stream.try_wait().expect("waited for").is_none();
    assert!(streams.iter_mut().all(is_going_on), "and takes nobody's place");
    streams[0].kill().expect("killed");
    eventually("there is room", 10, || {
        curl(&["-s", "--max-time", "2", &health]).contains("ok").then_some(())
    });
    for stream in &mut streams {
        let _ = stream.kill();
        stream.wait().expect("waited for");
    }
}
