//! A real browser: Debian's Chromium, driven by its own WebDriver. It reaches loopback and nothing else.

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};

use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::broker::eventually;

/// What a browser is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) script: bool,
    pub(crate) dark: bool,
}

pub(crate) const DESK: Kind = Kind { width: 1280, height: 900, script: true, dark: false };
pub(crate) const PHONE: Kind = Kind { width: 360, height: 740, script: true, dark: true };
pub(crate) const WITHOUT_SCRIPT: Kind = Kind { script: false, ..DESK };

/// A browser at work, at an address.
pub(crate) struct Browser {
    pub(crate) client: Client,
    pub(crate) base: String,
}

/// Does something in a browser, which is closed afterwards, whatever became of it.
///
/// # Panics
/// Where there is no browser, and where `work` does.
pub(crate) async fn in_browser(kind: Kind, base: &str, work: impl AsyncFnOnce(&Browser)) {
    let driver = Driver::start();
    let Value::Object(capabilities) = capabilities(kind) else { unreachable!() };
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&driver.address)
        .await
        .expect("start Chromium; `deploy/dev test` installs it");
    let browser = Browser { client: client.clone(), base: base.to_owned() };
    let outcome = AssertUnwindSafe(work(&browser)).catch_unwind().await;
    let closed = client.close().await;
    drop(driver);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    closed.unwrap();
}

/// Chromium's WebDriver on a port of its own.
struct Driver {
    process: Child,
    address: String,
}

impl Driver {
    fn start() -> Self {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let started =
            Command::new(&program).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let process = started.unwrap_or_else(|error| {
            panic!("start {program}: {error}; `deploy/dev test` installs chromium-driver")
        });
        let mut driver = Self { process, address: String::new() };
        let mut lines = BufReader::new(driver.process.stdout.take().unwrap()).lines();
        while driver.address.is_empty() {
            let line = lines.next().expect("chromedriver says its port").unwrap();
            if let Some(port) = line.split("started successfully on port ").nth(1) {
                driver.address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            }
        }
        // What else it says is read and dropped.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn capabilities(kind: Kind) -> Value {
    let Kind { width, height, script, dark } = kind;
    let size = format!("--window-size={width},{height}");
    let scheme = format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 });
    let arguments = [
        "--headless=new",
        // As root, as in a container, its sandbox cannot be set up; it reaches nothing but our own pages.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        // All but loopback goes to where nobody is.
        "--proxy-server=127.0.0.1:9",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        &size,
        &scheme,
    ];
    let mut options = json!({ "args": arguments });
    if !script {
        options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
    }
    if width < 500 {
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 1.0, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    json!({ "browserName": "chrome", "goog:chromeOptions": options })
}

impl Browser {
    pub(crate) async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    /// The text of the page, as it is seen.
    pub(crate) async fn text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await.unwrap();
        body.text().await.unwrap()
    }

    /// Waits until the page says this.
    pub(crate) async fn says(&self, text: &str) {
        eventually(&format!("the page says {text:?}"), || async {
            // The element may be replaced while it is read.
            match self.client.find(Locator::Css("body")).await {
                Ok(body) => body.text().await.is_ok_and(|shown| shown.contains(text)),
                Err(_) => false,
            }
        })
        .await;
    }

    /// Clicks on a link or a button with this text, as soon as it is there.
    pub(crate) async fn click(&self, text: &str) {
        let path = format!(
            "//*[self::a or self::button or self::summary][contains(normalize-space(.), \"{text}\")]"
        );
        eventually(&format!("{text:?} is clicked on"), || async {
            let clicked = async { self.client.find(Locator::XPath(&path)).await?.click().await };
            clicked.await.is_ok()
        })
        .await;
    }

    pub(crate) async fn fill(&self, id: &str, text: &str) {
        let field = self.client.find(Locator::Id(id)).await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// What a script of the test finds out.
    pub(crate) async fn find_out(&self, script: &str) -> Value {
        let answer: Result<Value, CmdError> = self.client.execute(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Where it is.
    pub(crate) async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    pub(crate) async fn arrives_at(&self, path: &str) {
        eventually(&format!("the browser is at {path}"), || async { self.path().await == path }).await;
    }
}
