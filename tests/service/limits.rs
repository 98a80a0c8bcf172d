//! What is bounded besides the writes of a batch: texts that others bring in.

use channel_sync::contract::REASON_CHARACTERS_MAX;
use serde_json::json;

use crate::steps::Steps;
use crate::support::events::{edit, partnership};

#[tokio::test]
async fn an_error_is_kept_cut_off_however_long_the_server_made_it() {
    let steps = Steps::start().await;
    let refuse = "
        create function refuse() returns trigger language plpgsql as $$ begin
            raise exception '%', repeat('x', 100000) using errcode = '23514';
        end $$;
        create trigger refuse before insert on setting for each row execute function refuse();";
    steps.client.batch_execute(refuse).await.unwrap();
    steps.take_in([edit("fails", "helios", "equipment", &[("m", json!(1))])]).await;
    let error = "select length(last_error), right(last_error, 10) from job_view where state in ('retrying', 'failed')";
    for _ in 0..20 {
        steps.executor.step().await.unwrap();
        if !steps.lines(error).await.is_empty() {
            break;
        }
    }
    let length = "run settings_add: ".len() + REASON_CHARACTERS_MAX + "… (23514)".chars().count();
    assert_eq!(steps.lines(error).await, format!("{length} | x… (23514)\n"));
    drop(steps.database);
}

#[tokio::test]
async fn a_reason_that_would_name_a_hundred_organizations_is_cut_off() {
    let steps = Steps::start().await;
    let name = |no: usize| format!("{no:0>40}");
    let links = (0..100).map(|no| partnership(&format!("p{no}"), &name(no), &name(no + 1), "flexible"));
    steps.apply(links).await;
    steps.apply([partnership("closes", &name(100), &name(0), "flexible")]).await;
    let reason = "select code, length(reason), right(reason, 1) from rejected_message";
    let length = REASON_CHARACTERS_MAX + 1;
    assert_eq!(steps.lines(reason).await, format!("partnership-cycle | {length} | …\n"));
    drop(steps.database);
}
