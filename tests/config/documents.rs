//! What the repository's pages link to is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// All pages in Markdown, but for what was built or fetched.
fn pages() -> Vec<PathBuf> {
    let (mut folders, mut pages) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{}", pages.len());
    pages
}

/// The lines of a page that are not within a block of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        within ^= fence;
        !within && !fence
    })
}

/// Where the links of a page lead, without their descriptions; those to the web are not among them.
fn links(page: &str) -> Vec<String> {
    let text = prose(page).collect::<Vec<_>>().join("\n");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.split(' ').next().unwrap().to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        for link in links(&page) {
            count += 1;
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, at)| (file, Some(at)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let leads = match anchor {
                None => target.exists(),
                Some(anchor) => {
                    std::fs::read_to_string(&target).is_ok_and(|target| anchors(&target).contains(anchor))
                }
            };
            if !leads {
                wrong.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(count > 100, "{count}");
}

#[test]
fn every_page_in_docs_is_linked() {
    let linked: BTreeSet<PathBuf> = pages()
        .iter()
        .flat_map(|path| {
            let links = links(&std::fs::read_to_string(path).unwrap());
            let folder = path.parent().unwrap().to_owned();
            links
                .into_iter()
                .filter_map(move |link| folder.join(link.split('#').next().unwrap()).canonicalize().ok())
        })
        .collect();
    let docs = root().join("docs").canonicalize().unwrap();
    for page in pages().into_iter().map(|page| page.canonicalize().unwrap()) {
        assert!(
            !page.starts_with(&docs) || linked.contains(&page),
            "{}: nothing links to it",
            page.display()
        );
    }
}
