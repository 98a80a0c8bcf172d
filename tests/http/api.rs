//! A platform with something of everything, and a client that holds each answer against the document.

use channel_sync::config::{AccessToken, Role};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::document::Document;
use crate::support::broker::eventually;
use crate::support::events::{edit, event, partnership, raw};
use crate::support::platform::Platform;

pub(crate) const VIEWER: &str = "cs_viewer";
pub(crate) const OPERATOR: &str = "cs_operator";

/// An organization whose name has to be encoded.
pub(crate) const ODD: &str = "nord/süd 100%";

pub(crate) struct Api {
    pub(crate) platform: Platform,
    pub(crate) document: Document,
    client: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The kind of problem that it is.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_else(|| panic!("no problem: {self:?}"));
        kind.strip_prefix("urn:channel-sync:problem:").unwrap()
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap()
    }
}

impl Api {
    /// A platform where two may use HTTP, and a job fails at its first attempt.
    pub(crate) async fn start() -> Self {
        let tokens = format!(
            "{} {}",
            AccessToken::entry("vera", Role::Viewer, VIEWER),
            AccessToken::entry("olga", Role::Operator, OPERATOR)
        );
        Self::of(
            Platform::start_with(&[
                ("CHANNEL_SYNC__HTTP__ACCESS_TOKENS", &tokens),
                ("CHANNEL_SYNC__RETRY__JOB_ATTEMPTS_MAX", "1"),
            ])
            .await,
        )
        .await
    }

    pub(crate) async fn of(platform: Platform) -> Self {
        let client = reqwest::Client::new();
        let address = platform.service.as_ref().unwrap().http_address().unwrap();
        let served = client.get(format!("http://{address}/api/v1/openapi.json")).send().await.unwrap();
        assert_eq!(served.status(), StatusCode::OK, "the document needs no token");
        let document = Document::new(served.json().await.unwrap());
        Self { platform, document, client }
    }

    /// Helios has the strict partner pac, and the odd one; pac has leaf, whose jobs fail. Something is locked, ignored,
    /// superseded and rejected.
    pub(crate) async fn tell_story(&mut self) {
        let newer = |id: &str, version: i64, value: i64| {
            let changes = json!([{ "op": "set", "key": "module/a b", "value": value }]);
            let data = json!({ "organization_id": "helios", "category": "equipment", "version": version,
                               "changes": changes });
            event(id, "setting-changed", data)
        };
        self.platform
            .apply([
                edit("leaf-1", "leaf", "equipment", &[("own", json!("of its own"))]),
                edit("pac-1", "pac", "equipment", &[("mine", json!({ "watts": 400 }))]),
                newer("helios-2", 2, 1),
                partnership("p-1", "helios", "pac", "strict"),
                partnership("p-2", "pac", "leaf", "non-exclusive"),
                partnership("p/3 ?", "helios", ODD, "non-exclusive"),
                newer("helios-1", 1, 0),
                edit("helios-costs", "helios", "default-costs", &[("inverter", json!(1.50))]),
                edit("pac-2", "pac", "equipment", &[("mine", json!(1))]),
                edit("logo", "helios", "integrations", &[("x", json!(1))]),
                raw(b"hello"),
                raw(b"\xff\x00\xfe"),
                edit("roofs", "helios", "rooofs", &[("x", json!(1))]),
            ])
            .await;
        let refuse = "create function refuse() returns trigger language plpgsql as $$ begin
                 if new.organization_no = (select organization_no from organization where organization_id = 'leaf') then
                     raise exception 'leaf is full' using errcode = '23514';
                 end if;
                 return new;
             end $$;
             create trigger refuse before insert or update on setting for each row execute function refuse()";
        self.platform.client.batch_execute(refuse).await.unwrap();
        let new = [("module/c", json!(3)), ("module/d", json!([1, "\u{fffd}", 12345678901234567890_u64]))];
        self.platform.apply([edit("helios-3", "helios", "equipment", &new)]).await;
        let heal = "drop trigger refuse on setting; drop function refuse";
        self.platform.client.batch_execute(heal).await.unwrap();
    }

    /// Pac is paused, and something waits for it.
    pub(crate) async fn pause_pac(&mut self) {
        let pause = json!({ "organization": "pac", "reason": "they are migrating" });
        assert_eq!(self.operate("POST", "/pauses", &pause).await.status, StatusCode::CREATED);
        self.platform.publish([edit("helios-4", "helios", "adders", &[("roof", json!(1))])]).await;
        let waits =
            "select exists (select from job_view where organization_id = 'pac' and state = 'pending')";
        let client = &self.platform.client;
        eventually("something waits for pac", async || {
            client.query_one(waits, &[]).await.unwrap().get::<_, bool>(0)
        })
        .await;
    }

    /// Asks, as a viewer.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Some(VIEWER), None).await
    }

    /// Does something, as an operator.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { None } else { Some(body.to_string()) };
        self.send(method, path, Some(OPERATOR), body).await
    }

    /// Sends a request to a path below `/api/v1`, and holds the answer against the document.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<String>,
    ) -> Answer {
        let path = format!("/api/v1{path}");
        let answer = self.send_anywhere(method, &path, token, body).await;
        let content_type = answer.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        let asked = path.split('?').next().unwrap();
        self.document.check(method, asked, answer.status.as_u16(), content_type, &answer.body);
        answer
    }

    /// Sends a request to any path.
    pub(crate) async fn send_anywhere(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<String>,
    ) -> Answer {
        let address = self.platform.service.as_ref().unwrap().http_address().unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{address}{path}"));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")),
        };
        Answer { status, headers, body }
    }

    /// What operators did, the oldest first: who, what, why.
    pub(crate) async fn actions(&self) -> String {
        self.platform.lines("select who, action, reason from operator_action order by action_no").await
    }

    pub(crate) async fn end(self) {
        self.platform.end().await;
    }
}

/// A text as a part of a path.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
