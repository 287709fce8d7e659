//! Every conversation in `tests/transcripts/entra`, played against the real binary.

use std::time::Duration;

use ziflow_scim_bridge::cli::transcript::{Player, Transcript};

use crate::harness::{Bridge, Folder, TOKEN, ziflow};

#[tokio::test(flavor = "multi_thread")]
async fn every_conversation_goes_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/entra");
    let mut failures = Vec::new();
    let mut played = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let transcript = Transcript::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for problem in play(&transcript).await {
            failures.push(format!("{name}: {problem}"));
        }
        played += 1;
    }
    assert!(played > 0, "no conversations in {folder}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn play(transcript: &Transcript) -> Vec<String> {
    let ziflow = ziflow(&[]).await;
    for person in &transcript.people {
        ziflow.add_person(person.clone());
    }
    let folder = Folder::new();
    let mapping = folder.file("mapping.yaml", &transcript.mapping()).display().to_string();
    let variable = |key: &str| format!("BRIDGE_{}", key.replace('.', "__").to_uppercase());
    let settings: Vec<_> =
        transcript.settings.iter().map(|(key, value)| (variable(key), value.as_str())).collect();
    let settings = settings.iter().map(|(name, value)| (name.as_str(), *value));
    let settings: Vec<_> = settings.chain([("BRIDGE_MAPPING__FILE", mapping.as_str())]).collect();
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mut entra = Player::new(&bridge.url, TOKEN, &ziflow).unwrap();
    let mut problems = Vec::new();
    for step in &transcript.steps {
        let outcome = entra.play(step, async || settled(&bridge).await).await.unwrap();
        problems.extend(outcome.problems.iter().map(|problem| format!("{}: {problem}", step.title)));
    }
    bridge.stop().await;
    problems
}

/// Waits until nobody waits for what their groups grant.
async fn settled(bridge: &Bridge) {
    for _ in 0..400 {
        if bridge.metric("ziflow_scim_bridge_grants_waiting").await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", bridge.admin("/readyz").await);
}
