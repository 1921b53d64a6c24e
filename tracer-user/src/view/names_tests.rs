//! Examples from the screens, and the laws: never wider than the room, never two alike.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn each_step_of_shortening_is_the_one_of_the_screens() {
    let cases = [
        ("memorycache.(*Cache).Set", 35, "memorycache.(*Cache).Set"),
        (
            "github.com/gorilla/mux.newRouteRegexp",
            33,
            "github.com/.../mux.newRouteRegexp",
        ),
        (
            "github.com/redis/go-redis/v9/internal/pool.NewConn",
            35,
            "github.com/.../pool.NewConn",
        ),
        (
            "github.com/redis/go-redis/v9.NewClient",
            25,
            "go-redis/v9.NewClient",
        ),
        (
            "encoding/json.(*decodeState).literalStore",
            35,
            "json.(*decodeState).literalStore",
        ),
        (
            "github.com/TykTechnologies/tyk/gateway.(*SessionLimiter).ForwardMessage",
            35,
            "gateway.(*Sess...er).ForwardMessage",
        ),
        (
            "regexp.(*Regexp).FindAllStringSubmatch",
            35,
            "regexp.(*Regexp).FindAllS...ubmatch",
        ),
        (
            "example.com/m/gateway.(*APIDefinitionLoader).FromDir",
            36,
            "gateway.(*APIDefinit...ader).FromDir",
        ),
        (
            "slices.insertionSortCmpFunc[go.shape.*example.com/a/b.T]",
            35,
            "slices.insertionSortCmpFunc[...]",
        ),
        ("main.main", 4, "main"),
    ];
    for (name, room, short) in cases {
        assert_eq!(shorten(name, room), short);
    }
}

#[test]
fn equal_rows_get_a_path_element_back() {
    let names = [
        "github.com/alpha/beta/internal/pool.NewConnection",
        "github.com/gamma/delta/internal/pool.NewConnection",
        "main.f",
    ];
    let short = shorten_all(&names, 24);
    assert_ne!(short[0], short[1]);
    let names = ["github.com/a/one/pool.New", "github.com/a/two/pool.New"];
    assert_eq!(shorten_all(&names, 14), ["one/pool.New", "two/pool.New"]);
}

#[test]
fn same_names_stay_the_same() {
    let short = shorten_all(&["a/b/c.Function", "a/b/c.Function"], 9);
    assert_eq!(short[0], short[1]);
}

#[test]
fn control_characters_never_reach_the_terminal() {
    assert_eq!(clean("a\x1b[2Jb\n"), "a?[2Jb?");
}

#[test]
fn locations_keep_their_end() {
    assert_eq!(
        location("/src/tyk/gateway/server.go", 12, 40),
        "/src/tyk/gateway/server.go:12"
    );
    assert_eq!(
        location("/src/tyk/gateway/server.go", 12, 21),
        "gateway/server.go:12"
    );
    assert_eq!(location("/src/server.go", 12, 5), "go:12");
    assert_eq!(location("", 0, 5), "-");
}

fn go_name() -> impl Strategy<Value = String> {
    let element = "[a-c]{1,6}(\\.com)?|v[0-9]";
    (
        prop::collection::vec(element, 0..5),
        "[a-c]{1,12}",
        prop_oneof![
            Just(String::new()),
            "\\(\\*[A-C]{1,30}\\)\\.",
            "[A-C]{1,20}\\."
        ],
        "[A-Ca-cä世]{1,40}(\\.func[0-9])?(\\[[a-c/.]{0,20}\\])?",
    )
        .prop_map(|(path, package, receiver, function)| {
            let mut elements = path;
            elements.push(package);
            format!("{}.{receiver}{function}", elements.join("/"))
        })
}

proptest! {
    #[test]
    fn never_longer_than_the_room(name in prop_oneof![go_name(), ".{0,60}"], room in 0usize..80) {
        prop_assert!(width(&shorten(&clean(&name), room)) <= room);
        prop_assert!(width(&location(&name, 7, room)) <= room);
    }

    #[test]
    fn different_names_stay_different(names in prop::collection::vec(go_name(), 1..40), room in 16usize..60) {
        let short = shorten_all(&names, room);
        prop_assert!(short.iter().all(|text| width(text) <= room));
        let whole: BTreeSet<&String> = names.iter().collect();
        let distinct: BTreeSet<&String> = short.iter().collect();
        prop_assert_eq!(distinct.len(), whole.len());
    }
}

#[test]
fn types_lose_their_packages_before_their_middle() {
    for (go_type, room, short) in [
        ("[]uint8", 16, "[]uint8"),
        ("*memorycache.Item", 16, "*Item"),
        ("map[string]*openapi3.Schema", 18, "map[string]*Schema"),
        ("map[string]*openapi3.Schema", 16, "map[st...*Schema"),
        (
            "func(context.Context, ...string) error",
            40,
            "func(context.Context, ...string) error",
        ),
        ("世界世界世界世界世界", 5, "..."),
        ("x.y", 0, ""),
    ] {
        let text = short_type(go_type, room);
        assert!(width(&text) <= room, "{text}");
        assert_eq!(text, short);
    }
}
