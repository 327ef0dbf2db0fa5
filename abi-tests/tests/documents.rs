//! The documentation shows the code that is tested.

#[test]
fn the_chapter_for_c_shows_the_example_that_is_tested() {
    let chapter = include_str!("../../docs/c-clients.md");
    let example = include_str!("../c/example.c");
    assert!(
        chapter.contains(&format!("```c\n{example}```\n")),
        "docs/c-clients.md must contain abi-tests/c/example.c unchanged"
    );
}

#[test]
fn the_chapter_for_c_shows_the_chain_that_is_tested() {
    let chapter = include_str!("../../docs/c-clients.md");
    let example = include_str!("../c/chain.c");
    assert!(
        chapter.contains(&format!("```c\n{example}```\n")),
        "docs/c-clients.md must contain abi-tests/c/chain.c unchanged"
    );
}

#[test]
fn the_chapter_shows_the_example_in_cpp_that_is_tested() {
    let chapter = include_str!("../../docs/c-clients.md");
    let example = include_str!("../cpp/example.cpp");
    assert!(
        chapter.contains(&format!("```cpp\n{example}```\n")),
        "docs/c-clients.md must contain abi-tests/cpp/example.cpp unchanged"
    );
}

#[test]
fn the_chapter_has_the_slots_of_the_golden_file() {
    let slots = include_str!("../abi.golden").lines().filter(|line| line.starts_with("slot "));
    let rows = slots.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, offsets, signature, _] = cells[..] else { panic!("{line}") };
        format!("| {name} | {offsets} | `{signature}` |\n")
    });
    let table: String = rows.collect();
    let table = format!("| slot | offset on 64-bit, on 32-bit | signature |\n|---|---|---|\n{table}");
    let chapter = include_str!("../../docs/c-clients.md");
    assert!(chapter.contains(&table), "docs/c-clients.md must contain these slots:\n{table}");
}

#[test]
fn the_headers_promises_name_rules_that_there_are() {
    let header = include_str!("../../runtime/include/ntcom.h");
    let contract = include_str!("../../docs/abi-contract.md");
    let brackets = header.split('[').skip(1).filter_map(|text| text.split_once(']'));
    let rules: Vec<&str> = brackets
        .flat_map(|(inside, _)| inside.split(", "))
        .filter(|rule| rule.strip_prefix('C').is_some_and(|number| number.parse::<u32>().is_ok()))
        .collect();
    assert!(rules.len() > 10, "{rules:?}");
    for rule in rules {
        assert!(contract.contains(&format!("\n### {rule}. ")), "{rule}");
    }
}
