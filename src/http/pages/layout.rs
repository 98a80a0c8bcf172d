//! What all pages have in common: the document, the ways to other pages, who is here.

use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::components::text;
use super::visitor::Visitor;
use crate::harmless::one_line;
use crate::words;

/// The parts of the pages that the ways lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Events,
    Jobs,
    Failures,
    Rejected,
    Replays,
    Organizations,
    Freshness,
    Verify,
    Explain,
    Preview,
    Actions,
}

impl Section {
    const GROUPS: [(&'static str, &'static [Self]); 3] = [
        ("Now", &[Self::Overview, Self::Failures, Self::Rejected, Self::Replays]),
        ("What happened", &[Self::Events, Self::Jobs, Self::Actions]),
        ("Settings", &[Self::Organizations, Self::Freshness, Self::Explain, Self::Preview, Self::Verify]),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Events => "Events",
            Self::Jobs => "Jobs",
            Self::Failures => "Failures",
            Self::Rejected => "Rejected",
            Self::Replays => "Replays",
            Self::Organizations => "Organizations",
            Self::Freshness => "Freshness",
            Self::Verify => "Verify",
            Self::Explain => "Explain",
            Self::Preview => "Preview",
            Self::Actions => "Actions",
        }
    }

    fn address(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Events => "/events",
            Self::Jobs => "/jobs",
            Self::Failures => "/failures",
            Self::Rejected => "/rejected",
            Self::Replays => "/replays",
            Self::Organizations => "/organizations",
            Self::Freshness => "/freshness",
            Self::Verify => "/verify",
            Self::Explain => "/explain",
            Self::Preview => "/preview",
            Self::Actions => "/actions",
        }
    }

    /// How many things stand there to be looked at: their name in the figures, and their number.
    fn attention(self, visitor: &Visitor) -> Option<(&'static str, i64)> {
        let attention = visitor.attention;
        match self {
            Self::Failures => Some(("failed", attention.failed)),
            Self::Rejected => Some(("rejected", attention.rejected)),
            Self::Replays => Some(("replays", attention.replays)),
            _ => None,
        }
    }
}

/// A page of a section.
pub(super) fn page(visitor: &Visitor, section: Section, title: &str, content: &Markup) -> Markup {
    document(
        title,
        &html! {
            a.skip href="#content" { "Skip to the content" }
            header.bar {
                a.brand href="/" { (assets::mark()) "channel-sync" }
                form.find role="search" action="/find" {
                    label.hidden for="find" { "Find an organization, an event or a job" }
                    input #find type="search" name="q" placeholder="Organization, event or job" autocomplete="off"
                        spellcheck="false";
                    button type="submit" { "Find" }
                }
                (who(visitor))
            }
            div.frame {
                nav.ways aria-label="Pages" { (ways(visitor, section)) }
                main #content tabindex="-1" {
                    h1 { (text(title)) }
                    (content)
                }
            }
        },
    )
}

fn ways(visitor: &Visitor, section: Section) -> Markup {
    html! {
        @for (group, sections) in Section::GROUPS {
            div.group {
                p.group-name { (group) }
                ul {
                    @for one in sections {
                        li {
                            a href=(one.address()) aria-current=[(*one == section).then_some("page")] {
                                (one.name())
                                @if let Some((figure, count)) = one.attention(visitor) {
                                    " "
                                    span.count data-count=(figure) hidden[count == 0] { (words::number(count)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn who(visitor: &Visitor) -> Markup {
    html! {
        div.who {
            span title="Written down with everything that you change" {
                (text(&visitor.name)) " · " (visitor.role.name())
            }
            @if visitor.has_login {
                form method="post" action="/logout" { button.quiet type="submit" { "Log out" } }
            }
        }
    }
}

/// A page for somebody who is perhaps nobody that is known: without ways.
pub(super) fn bare(title: &str, content: &Markup) -> Markup {
    document(
        title,
        &html! {
            header.bar { a.brand href="/" { (assets::mark()) "channel-sync" } }
            main.bare #content tabindex="-1" {
                h1 { (text(title)) }
                (content)
            }
        },
    )
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (one_line(title)) " · channel-sync" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href=(assets::icon());
                link rel="stylesheet" href=(assets::style());
                script src=(assets::script()) defer {}
            }
            body { (body) }
        }
    }
}
