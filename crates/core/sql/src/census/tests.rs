//! Tests: nothing hides from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::Census;

#[test]
fn finds_what_is_hidden_anywhere() {
    let tree = pg_query::parse(
        "create rule r as on insert to a.b where f(1) > 2 do also (insert into c select x.y(z) from d where q = any (select 1 from e); notify n)",
        0,
    )
    .unwrap();
    let census = Census::of(&tree.protobuf);
    let relations: Vec<String> = census.relations.iter().map(|(s, n)| format!("{s}.{n}")).collect();
    for name in ["a.b", ".c", ".d", ".e"] {
        assert!(relations.iter().any(|r| r == name), "{name} in {relations:?}");
    }
    assert_eq!(census.counts.relations, 4);
    assert_eq!(census.functions, [vec!["f".to_owned()], vec!["x".to_owned(), "y".to_owned()]]);
    assert_eq!(census.counts.queries, 3);
    assert_eq!(census.counts.columns, 2);
    let tree = pg_query::parse("grant select on t to bob, current_user", 0).unwrap();
    assert_eq!(Census::of(&tree.protobuf).roles, ["bob"]);
}
