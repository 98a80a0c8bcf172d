//! A platform to look at: a channel manager with partners, one of which no setting can be written for.

use channel_sync::config::{AccessToken, Role};
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::support::broker::eventually;
use crate::support::events::{edit, partnership, raw, snapshot};
use crate::support::platform::Platform;

/// Jobs are given up soon.
const RETRY: [(&str, &str); 3] = [
    ("CHANNEL_SYNC__RETRY__JOB_ATTEMPTS_MAX", "2"),
    ("CHANNEL_SYNC__RETRY__JOB_DELAY_MS_MIN", "1"),
    ("CHANNEL_SYNC__RETRY__JOB_DELAY_MS_MAX", "1"),
];

/// The tokens of a scene with access tokens.
pub(crate) const ADA: &str = "a-token-of-ada";
pub(crate) const GUEST: &str = "a-token-of-guest";

/// A platform, and who asks it over HTTP.
pub(crate) struct Scene {
    pub(crate) platform: Platform,
    pub(crate) client: Client,
    pub(crate) base: String,
    /// The cookie that is sent, where somebody is logged in.
    pub(crate) cookie: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Where it leads.
    pub(crate) fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    /// What it sets as a cookie.
    pub(crate) fn cookie(&self) -> &str {
        self.headers[SET_COOKIE].to_str().unwrap()
    }

    /// The text of the page, without its markup.
    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        for part in self.text.split('<') {
            let (tag, text) = part.split_once('>').unwrap_or(("", part));
            let tag = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
            if !matches!(tag, "a" | "bdi" | "code" | "strong" | "time") {
                words.push(' ');
            }
            words.push_str(text);
        }
        for (entity, character) in [("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")] {
            words = words.replace(entity, character);
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Scene {
    /// Nobody needs a token.
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    /// Ada is an operator, and guest a viewer.
    pub(crate) async fn with_tokens() -> Self {
        let tokens = format!(
            "{} {}",
            AccessToken::entry("ada", Role::Operator, ADA),
            AccessToken::entry("guest", Role::Viewer, GUEST)
        );
        Self::with(&[("CHANNEL_SYNC__HTTP__ACCESS_TOKENS", &tokens)]).await
    }

    async fn with(more: &[(&str, &str)]) -> Self {
        let variables: Vec<(&str, &str)> = RETRY.iter().chain(more).copied().collect();
        let platform = Platform::start_with(&variables).await;
        let base = format!("http://{}", platform.service.as_ref().unwrap().http_address().unwrap());
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { platform, client, base, cookie: None }
    }

    /// Helios with equipment and a default, and partners of each mode; a job has failed, and a message was rejected.
    pub(crate) async fn fill(&mut self) {
        let platform = &mut self.platform;
        platform
            .apply([
                snapshot(
                    "helios-equipment",
                    "helios",
                    "equipment",
                    json!({ "m1": { "watts": 400 }, "m2": { "watts": 410 } }),
                ),
                edit("helios-costs", "helios", "default-costs", &[("battery", json!({ "usd": 690 }))]),
                edit(
                    "pac-equipment",
                    "pac",
                    "equipment",
                    &[("m1", json!({ "watts": 1 })), ("own", json!("kept"))],
                ),
                partnership("helios-strict", "helios", "strict-partner", "strict"),
                partnership("helios-pac", "helios", "pac", "flexible"),
                partnership("strict-below", "strict-partner", "below", "strict"),
            ])
            .await;
        self.fail_for("strict-partner").await;
        self.platform
            .apply([
                edit("m3", "helios", "equipment", &[("m3", json!({ "watts": 420 }))]),
                raw(b"{\"id\": \"not an event\"}"),
                edit("no-category", "helios", "roofs", &[("a", json!(1))]),
            ])
            .await;
        eventually("a job has failed", || async {
            self.platform.lines("select count(*) from job_view where state = 'failed'").await == "1\n"
        })
        .await;
    }

    /// Whatever is written into the settings of this organization fails from now on.
    pub(crate) async fn fail_for(&self, organization: &str) {
        let trigger = format!(
            "create function refuse() returns trigger language plpgsql as $$ begin
                 if (coalesce(new, old)).organization_no
                    = (select organization_no from channel_sync.organization where organization_id = '{organization}') then
                     raise exception 'the disk of this partner is full' using errcode = '23514';
                 end if;
                 return coalesce(new, old);
             end $$;
             create trigger refuse before insert or update or delete on setting for each row
                 execute function refuse()"
        );
        self.platform.client.batch_execute(&trigger).await.unwrap();
    }

    /// Settings can be written again.
    pub(crate) async fn mend(&self) {
        self.platform
            .client
            .batch_execute("drop trigger refuse on setting; drop function refuse")
            .await
            .unwrap();
    }

    /// The key of the job that has failed.
    pub(crate) async fn failed_job(&self) -> String {
        let key = "select idempotency_key from job_view where state = 'failed'";
        self.platform.lines(key).await.trim().to_owned()
    }

    /// A page, which is there.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.words());
        answer
    }

    /// What is answered.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// What is answered to a form.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// Logs in.
    pub(crate) async fn log_in(&mut self, token: &str) {
        let answer = self.post("/login", &[("token", token), ("next", "/")]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.words());
        self.cookie = Some(answer.cookie().split(';').next().unwrap().to_owned());
    }

    /// Every page that leads somewhere, one of each kind.
    pub(crate) async fn addresses(&self) -> Vec<String> {
        let failed = self.failed_job().await;
        let mut addresses: Vec<String> = [
            "/",
            "/events",
            "/events?state=failed&organization=helios",
            "/event?id=m3",
            "/jobs",
            "/jobs?state=failed",
            "/failures",
            "/jobs/replay?state=failed&error=disk",
            "/jobs/discard?state=failed",
            "/replays",
            "/rejected",
            "/rejected/1",
            "/rejected/replay",
            "/rejected/discard?id=1",
            "/organizations",
            "/organizations?q=pac",
            "/organization?id=helios",
            "/organization?id=strict-partner",
            "/explain",
            "/explain?organization=strict-partner&category=equipment&key=m3",
            "/explain?organization=pac&category=equipment",
            "/freshness",
            "/freshness?organization=strict-partner&all=yes",
            "/verify",
            "/verify?compare=yes",
            "/verify?upstream=helios&organization=strict-partner&category=equipment&compare=yes",
            "/actions",
            "/preview",
            "/preview?upstream=helios&downstream=pac&mode=strict",
        ]
        .map(str::to_owned)
        .to_vec();
        addresses.push(format!("/jobs/{failed}"));
        addresses.push(format!("/jobs/{failed}/restore"));
        addresses
    }
}
