//! Whether a broker that somebody declared by hand is as the service needs it, and what to do where it is not.
//!
//! It changes nothing: exchanges and queues are looked at by passive declarations, and only what is there already is
//! declared once more, the same, since that is how AMQP tells other arguments. Bindings and policies only the
//! management API knows.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::connection::{Wire, connect, uri};
use super::error::BrokerError;
use super::management::Management;
use super::topology::{Exchange, Queue, Topology};
use crate::config::BrokerConfig;

/// How something on the broker was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// As the service needs it.
    Right,
    /// Not so: the service does not work with it, or messages may be lost.
    Wrong,
    /// It works, but is worth a look.
    Advice,
    /// It could not be seen.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is, such as `queue channel-sync.events`.
    pub object: String,
    /// How it was found.
    pub state: CheckState,
    /// What was expected.
    pub expected: String,
    /// What was found, or why nothing could be.
    pub found: String,
    /// What to do or to run; empty where there is nothing to do.
    pub remedy: String,
}

/// Looks at all that the service needs of the broker, by AMQP and, where it is given, by the management API.
///
/// # Errors
/// Where the broker or its management API cannot be asked.
pub async fn check(
    config: &BrokerConfig,
    management: Option<&Management>,
) -> Result<Vec<Finding>, BrokerError> {
    let looking = async {
        let wire = connect(config, "check").await?;
        let found = look(&wire, config, management).await;
        wire.close().await;
        found
    };
    // Some ten questions, each of which is answered at once by a broker that is well.
    let after = config.connect_timeout.saturating_mul(10);
    tokio::time::timeout(after, looking).await.unwrap_or_else(|_| {
        Err(BrokerError::Timeout { action: "check the broker".to_owned(), after, blocked: false })
    })
}

async fn look(
    wire: &Wire,
    config: &BrokerConfig,
    management: Option<&Management>,
) -> Result<Vec<Finding>, BrokerError> {
    let topology = Topology::new(&config.prefix);
    let vhost = uri(config)?.vhost;
    let mut findings = Vec::new();
    for exchange in topology.exchanges() {
        findings.push(match management {
            Some(management) => {
                let path = format!("exchanges/{}/{}", encoded(&vhost), encoded(exchange.name));
                exchange_finding(&exchange, management.get(&path).await?.as_ref())
            }
            None => exchange_by_amqp(wire, &exchange).await?,
        });
    }
    for queue in topology.queues() {
        let Some(management) = management else {
            findings.push(queue_by_amqp(wire, &queue).await?);
            continue;
        };
        let path = format!("queues/{}/{}", encoded(&vhost), encoded(queue.name));
        let found = management.get(&path).await?;
        findings.push(queue_finding(&queue, found.as_ref()));
        if found.is_none() {
            continue;
        }
        let bindings = management.get(&format!("{path}/bindings")).await?.unwrap_or_default();
        findings.extend(binding_findings(&queue, &bindings));
        if queue.name == topology.events {
            let in_force = policy_in_force(management, &vhost, queue.name).await?;
            findings.extend(policy_findings(&topology, &vhost, &in_force));
        }
    }
    if management.is_none() {
        findings.push(Finding {
            object: "bindings and policy".to_owned(),
            state: CheckState::Unknown,
            expected: "those of deploy/rabbitmq/definitions.json".to_owned(),
            found: "AMQP cannot tell".to_owned(),
            remedy: "say where the management API is: --management-url http://user:password@host:15672"
                .to_owned(),
        });
    }
    Ok(findings)
}

// --- by AMQP -----------------------------------------------------------------------------------------------

async fn exchange_by_amqp(wire: &Wire, exchange: &Exchange<'_>) -> Result<Finding, BrokerError> {
    let object = format!("exchange {}", exchange.name);
    let declare = async |passive| {
        // A refusal closes the channel.
        let channel = wire.channel().await?;
        let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
        let declared = channel
            .exchange_declare(exchange.name.into(), exchange.kind.clone(), options, FieldTable::default())
            .await;
        Ok(declared.err())
    };
    let expected = format!("a durable exchange of the type {}", exchange.type_name());
    told_by_amqp(object, expected, declare).await
}

async fn queue_by_amqp(wire: &Wire, queue: &Queue<'_>) -> Result<Finding, BrokerError> {
    let object = format!("queue {}", queue.name);
    let declare = async |passive| {
        let channel = wire.channel().await?;
        let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
        Ok(channel.queue_declare(queue.name.into(), options, queue.arguments()).await.err())
    };
    told_by_amqp(object, queue_expected(queue), declare).await
}

/// Declares passively, and then, where that went well, as the service would.
async fn told_by_amqp(
    object: String,
    expected: String,
    declare: impl AsyncFn(bool) -> Result<Option<lapin::Error>, BrokerError>,
) -> Result<Finding, BrokerError> {
    use super::error::{codes, reason, reply_code};
    for passive in [true, false] {
        let Some(error) = declare(passive).await? else { continue };
        let (state, found, remedy) = match (reply_code(&error), passive) {
            (Some(codes::NOT_FOUND), _) => {
                (CheckState::Wrong, "it is not there".to_owned(), IMPORT.to_owned())
            }
            (Some(codes::PRECONDITION_FAILED), _) => {
                (CheckState::Wrong, reason(&error), delete_first(&object))
            }
            (Some(codes::ACCESS_REFUSED), true) => {
                (CheckState::Unknown, reason(&error), ASK_MANAGEMENT.to_owned())
            }
            (Some(codes::ACCESS_REFUSED), false) => {
                let found =
                    "it is there; its arguments cannot be told without the permission to configure it";
                (CheckState::Unknown, found.to_owned(), ASK_MANAGEMENT.to_owned())
            }
            _ => return Err(BrokerError::of(&format!("look at the {object}"), &error)),
        };
        return Ok(Finding { object, state, expected, found, remedy });
    }
    Ok(right(object, expected))
}

// --- by the management API ---------------------------------------------------------------------------------

const IMPORT: &str = "rabbitmqctl import_definitions deploy/rabbitmq/definitions.json, adapted to the virtual host and \
                      to broker.prefix";

const ASK_MANAGEMENT: &str = "say where the management API is: --management-url";

fn delete_first(object: &str) -> String {
    format!("let it run empty, delete the {object}, then: {IMPORT}; or choose another broker.prefix")
}

fn right(object: String, expected: String) -> Finding {
    Finding { object, state: CheckState::Right, found: expected.clone(), expected, remedy: String::new() }
}

fn exchange_finding(exchange: &Exchange<'_>, found: Option<&Value>) -> Finding {
    let object = format!("exchange {}", exchange.name);
    let expected = format!("a durable exchange of the type {}", exchange.type_name());
    let Some(found) = found else { return missing(object, expected) };
    let is_right = found["type"] == exchange.type_name()
        && found["durable"] == true
        && found["auto_delete"] == false
        && found["internal"] == false;
    if is_right {
        return right(object, expected);
    }
    let found = format!(
        "type {}, durable {}, auto_delete {}, internal {}",
        found["type"], found["durable"], found["auto_delete"], found["internal"]
    );
    let remedy = delete_first(&object);
    Finding { object, state: CheckState::Wrong, expected, found, remedy }
}

fn queue_expected(queue: &Queue<'_>) -> String {
    let single = if queue.single_active_consumer { " with x-single-active-consumer" } else { "" };
    format!("a durable quorum queue{single}")
}

fn queue_finding(queue: &Queue<'_>, found: Option<&Value>) -> Finding {
    let object = format!("queue {}", queue.name);
    let expected = queue_expected(queue);
    let Some(found) = found else { return missing(object, expected) };
    let arguments = found["arguments"].as_object().cloned().unwrap_or_default();
    let mut wanted = Map::from_iter([("x-queue-type".to_owned(), json!("quorum"))]);
    if queue.single_active_consumer {
        wanted.insert("x-single-active-consumer".to_owned(), json!(true));
    }
    if found["durable"] == true && found["auto_delete"] == false && arguments == wanted {
        return right(object, expected);
    }
    let found = format!(
        "durable {}, auto_delete {}, arguments {}",
        found["durable"],
        found["auto_delete"],
        Value::Object(arguments)
    );
    let remedy = delete_first(&object);
    Finding { object, state: CheckState::Wrong, expected, found, remedy }
}

fn missing(object: String, expected: String) -> Finding {
    let found = "it is not there".to_owned();
    Finding { object, state: CheckState::Wrong, expected, found, remedy: IMPORT.to_owned() }
}

fn binding_findings(queue: &Queue<'_>, bindings: &Value) -> Vec<Finding> {
    let name = queue.name;
    // Every queue is bound to the exchange without a name, by its own.
    let all: Vec<(&str, &str)> = bindings
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|binding| Some((binding["source"].as_str()?, binding["routing_key"].as_str()?)))
        .filter(|(source, _)| !source.is_empty())
        .collect();
    let mut findings = Vec::new();
    for pattern in queue.patterns {
        let object = format!("binding {name} → {name} by {pattern:?}");
        let expected = "bound".to_owned();
        findings.push(if all.contains(&(name, *pattern)) {
            right(object, expected)
        } else {
            Finding {
                object,
                state: CheckState::Wrong,
                expected,
                found: "it is not there: such messages are returned to publishers, or lost".to_owned(),
                remedy: format!(
                    "rabbitmqadmin declare binding source={name} destination={name} routing_key='{pattern}'"
                ),
            }
        });
    }
    for (source, pattern) in
        all.iter().filter(|(source, key)| *source != name || !queue.patterns.contains(key))
    {
        findings.push(Finding {
            object: format!("binding {source} → {name} by {pattern:?}"),
            state: CheckState::Advice,
            expected: "no other bindings".to_owned(),
            found: "bound".to_owned(),
            remedy: "see that whoever publishes by it means this service: what is no event is rejected"
                .to_owned(),
        });
    }
    findings
}

/// What the policies of a queue say, that of the operator where the other says nothing.
///
/// What the queue's own page says of it is some seconds old; the list without figures is not.
async fn policy_in_force(management: &Management, vhost: &str, queue: &str) -> Result<Value, BrokerError> {
    let vhost = encoded(vhost);
    let list = format!(
        "queues/{vhost}?page=1&page_size=500&name={}&use_regex=false&disable_stats=true",
        encoded(queue)
    );
    let listed = management.get(&list).await?.unwrap_or_default();
    let mut items = listed["items"].as_array().into_iter().flatten();
    let Some(item) = items.find(|item| item["name"] == queue) else { return Ok(Value::Null) };
    let mut in_force = Map::new();
    for (key, of) in [("operator_policy", "operator-policies"), ("policy", "policies")] {
        let Some(name) = item[key].as_str().filter(|name| !name.is_empty()) else { continue };
        let policy = management.get(&format!("{of}/{vhost}/{}", encoded(name))).await?.unwrap_or_default();
        in_force.extend(policy["definition"].as_object().cloned().unwrap_or_default());
    }
    Ok(Value::Object(in_force))
}

/// What the policy of the events queue is to say, and what each part is for.
fn policy_findings(topology: &Topology, vhost: &str, in_force: &Value) -> Vec<Finding> {
    let (events, dead_letter) = (&topology.events, &topology.dead_letter);
    let set_policy = format!(
        "rabbitmqctl set_policy -p '{vhost}' --apply-to queues --priority 10 {events} '^{}$' \
         '{{\"delivery-limit\":20,\"dead-letter-exchange\":\"{dead_letter}\",\"dead-letter-strategy\":\"at-least-once\",\
         \"overflow\":\"reject-publish\",\"max-length\":5000000}}'",
        events.replace('.', "\\.")
    );
    let is_count = |part: &str| in_force[part].as_u64().is_some_and(|count| count > 0);
    let parts: [(&str, &str, CheckState, bool); 5] = [
        (
            "delivery-limit",
            "a number such as 20: without it, a message that ends every consumer comes again for ever",
            CheckState::Wrong,
            is_count("delivery-limit"),
        ),
        (
            "dead-letter-exchange",
            "the dead-letter exchange: without it, what is over the delivery limit is lost",
            CheckState::Wrong,
            in_force["dead-letter-exchange"] == **dead_letter,
        ),
        (
            "dead-letter-strategy",
            "\"at-least-once\": else dead letters may be lost",
            CheckState::Wrong,
            in_force["dead-letter-strategy"] == "at-least-once",
        ),
        (
            "overflow",
            "\"reject-publish\": at-least-once needs it, and publishers are told that the queue is full",
            CheckState::Wrong,
            in_force["overflow"] == "reject-publish",
        ),
        (
            "max-length",
            "a number such as 5000000: else the queue may fill the disk",
            CheckState::Advice,
            is_count("max-length"),
        ),
    ];
    parts
        .into_iter()
        .map(|(part, expected, state, is_right)| {
            let (object, value) = (format!("policy of {events}: {part}"), &in_force[part]);
            if is_right {
                return Finding { found: value.to_string(), ..right(object, expected.to_owned()) };
            }
            let found = if value.is_null() { "it says nothing of it".to_owned() } else { value.to_string() };
            Finding { object, state, expected: expected.to_owned(), found, remedy: set_policy.clone() }
        })
        .collect()
}

/// What is escaped in a part of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ESCAPED).to_string()
}
