//! Requests and their answers: the rules of the path gateway and of HTTP, one by one.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write as _;
use std::time::Duration;

use coldfront::unixfs::testing::{self, FilePlan, Made};
use coldfront::{Block, Cid};
use common::tree::{self, Tree};
use common::{Client, Response, Server, find, ipfs, multipart, request};

const IMMUTABLE: &str = "public, max-age=29030400, immutable";

/// Blobs of a film, notes and folders below one root.
struct World {
    server: Server,
    _tree: Tree,
    root: Cid,
    film: Vec<u8>,
    film_cid: Cid,
    note_cid: Cid,
    folder: Cid,
    site: Cid,
}

impl World {
    fn new() -> Self {
        let tree = Tree::new();
        let put = &mut |block: Block| tree.put(&block);
        let film = tree::content(700_000, 1);
        let mut file = |content: &[u8]| testing::file(content, &FilePlan::default(), put);
        let (film_made, note, empty) = (file(&film), file(b"a note\n"), file(b""));
        let page = file(b"<!doctype html><title>x</title>");
        let folder = testing::directory([("a,b c.txt", note), ("%2C.txt", film_made)], put);
        let site = testing::directory([("index.html", page)], put);
        let no_page = testing::directory([("index.html", folder)], put);
        let slash = testing::directory([("a/b.txt", film_made), ("a", folder)], put);
        let entries: [(&str, Made); 8] = [
            ("empty.bin", empty),
            ("film.mp4", film_made),
            ("folder", folder),
            ("no-page", no_page),
            ("note.txt", note),
            ("site", site),
            ("slash", slash),
            ("\u{105}", folder),
        ];
        let root = testing::directory(entries, put).cid;
        World {
            server: Server::over(&tree),
            root,
            film,
            film_cid: film_made.cid,
            note_cid: note.cid,
            folder: folder.cid,
            site: site.cid,
            _tree: tree,
        }
    }

    /// The target of a path below the root.
    fn at(&self, path: &str) -> String {
        format!("{}/{path}", ipfs(&self.root))
    }

    fn get(&self, path: &str) -> Response {
        self.server.get(&self.at(path))
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.server.client().get_with(&self.at(path), headers)
    }

    fn film_range(&self, range: &str) -> Response {
        self.get_with("film.mp4", &[("Range", range)])
    }
}

/// An error must not be kept by any cache, and says what happened.
fn assert_error(answer: &Response, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.expect("cache-control"), "no-store");
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.expect("access-control-allow-origin"), "*");
    assert!(answer.text().contains(says), "{:?} does not say {says:?}", answer.text());
}

// Paths.

#[test]
fn a_root_that_is_no_cid_is_400_and_named_with_its_path() {
    let world = World::new();
    let answer = world.server.get("/ipfs/QmInvalidCID");
    assert_error(&answer, 400, "invalid path \"/ipfs/QmInvalidCID\"");
    let missing =
        world.server.get("/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi");
    assert_error(&missing, 404, "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi");
}

#[test]
fn a_name_that_is_not_there_is_404_and_named() {
    let world = World::new();
    assert_error(&world.get("folder/nothing.txt"), 404, "no link named \"nothing.txt\"");
    assert_error(&world.get("NOTE.TXT"), 404, "NOTE.TXT");
    assert_error(&world.get("note.txt/deeper"), 404, "not a directory");
}

#[test]
fn a_path_is_decoded_once() {
    let world = World::new();
    assert_eq!(world.get("folder/a,b%20c.txt").body, b"a note\n");
    assert_eq!(world.get("folder/a%2Cb%20c.txt").body, b"a note\n");
    assert_eq!(world.get("folder/%252C.txt").body, world.film);
    assert_error(&world.get("folder/%2C.txt"), 404, "\",.txt\"");
    assert_eq!(world.get("folder%2Fa,b%20c.txt").body, b"a note\n");
}

#[test]
fn dot_segments_and_doubled_slashes_are_resolved_after_decoding() {
    let world = World::new();
    for path in [
        "folder/../note.txt",
        "folder/%2E%2E/note.txt",
        ".//./note.txt",
        "folder%2F..%2Fnote%2Etxt",
    ] {
        assert_eq!(world.get(path).text(), "a note\n", "{path}");
    }
    // What climbs out of the namespace is another address, never a file of this machine.
    assert_eq!(world.get("../../../../etc/passwd").status, 404);
}

#[test]
fn a_link_name_with_a_slash_is_never_addressable() {
    let world = World::new();
    assert_error(&world.get("slash/a/b.txt"), 404, "b.txt");
    assert_error(&world.get("slash/a%2Fb.txt"), 404, "b.txt");
}

#[test]
fn a_directory_without_its_slash_is_301_to_it_with_the_query_as_it_came() {
    let world = World::new();
    let answer = world.get("\u{105}?a=d%20e&%C4%85".replace('\u{105}', "%c4%85").as_str());
    assert_eq!(answer.status, 301);
    assert_eq!(answer.expect("location"), world.at("%C4%85/?a=d%20e&%C4%85"));
    // Before any condition: a client must end up at the page.
    let tag = format!("\"{}\"", world.folder);
    assert_eq!(world.get_with("folder", &[("If-None-Match", &tag)]).status, 301);
    // A redirect to another host cannot be made from a path.
    assert_ne!(
        world.server.get("//evil.example/ipfs").header("location"),
        Some("//evil.example/ipfs/")
    );
}

#[test]
fn go_get_is_answered_without_a_redirect() {
    let world = World::new();
    assert_eq!(world.get("folder?go-get=1").status, 200);
}

#[test]
fn index_html_takes_the_place_of_a_listing_with_the_tag_of_its_directory() {
    let world = World::new();
    let page = world.get("site/");
    assert_eq!((page.status, page.text().as_str()), (200, "<!doctype html><title>x</title>"));
    assert_eq!(page.expect("etag"), format!("\"{}\"", world.site));
    assert_eq!(page.expect("content-type"), "text/html");
    assert_eq!(page.expect("content-length"), "31");
    assert_eq!(page.expect("cache-control"), IMMUTABLE);
    let part = world.get_with("site/", &[("Range", "bytes=1-9")]);
    assert_eq!((part.status, part.text().as_str()), (206, "!doctype "));
}

#[test]
fn an_index_html_that_is_no_file_is_422_and_the_folder_stays_reachable() {
    let world = World::new();
    assert_error(&world.get("no-page/"), 422, "index.html");
    assert_eq!(world.get("no-page/index.html/a,b%20c.txt").status, 200);
}

#[test]
fn a_file_with_a_slash_behind_it_is_the_file() {
    let world = World::new();
    assert_eq!(world.get("note.txt/").text(), "a note\n");
}

#[test]
fn addresses_without_content_say_where_content_is() {
    let world = World::new();
    assert_error(&world.server.get("/"), 404, "/ipfs/CID");
    assert_error(&world.server.get("/ipfs/"), 400, "a CID is missing");
    assert_error(&world.server.get("/favicon.ico"), 404, "/ipfs/CID");
    assert_error(&world.server.get("/ipns/example.com/"), 501, "IPNS");
}

#[test]
fn a_block_of_another_codec_is_501_and_can_be_had_raw() {
    let (golden, server) = common::golden_server();
    let target = ipfs(&golden.cid("dag-cbor"));
    assert_error(&server.get(&target), 501, "?format=raw");
    let raw = server.get(&format!("{target}?format=raw"));
    assert_eq!(raw.status, 200);
    let named = testing::cid_of(coldfront::block::DAG_CBOR, &raw.body);
    assert_eq!(named, golden.cid("dag-cbor"));
}

#[test]
fn identity_cids_are_answered_from_themselves() {
    let (_golden, server) = common::golden_server();
    assert_eq!(server.get("/ipfs/bafkqabtimvwgy3yk").text(), "hello\n");
    let empty = server.get("/ipfs/bafkqaaa");
    assert_eq!((empty.status, empty.body.len()), (200, 0));
}

// Raw blocks.

#[test]
fn a_raw_block_is_the_stored_bytes_to_be_saved_not_shown() {
    let world = World::new();
    for (target, headers) in [
        (format!("{}?format=raw", ipfs(&world.film_cid)), vec![]),
        (ipfs(&world.film_cid), vec![("Accept", "application/vnd.ipld.raw")]),
    ] {
        let raw = world.server.client().get_with(&target, &headers);
        assert_eq!(raw.status, 200);
        assert_eq!(testing::cid_of(world.film_cid.codec(), &raw.body), world.film_cid);
        assert_eq!(raw.expect("content-type"), "application/vnd.ipld.raw");
        assert_eq!(raw.expect("etag"), format!("\"{}.raw\"", world.film_cid));
        assert_eq!(raw.expect("x-content-type-options"), "nosniff");
        assert_eq!(raw.expect("cache-control"), IMMUTABLE);
        let name = format!("filename=\"{}.bin\"", world.film_cid);
        assert!(raw.expect("content-disposition").starts_with("attachment; "));
        assert!(raw.expect("content-disposition").contains(&name));
        let range = [headers.clone(), vec![("Range", "bytes=2-4")]].concat();
        let part = world.server.client().get_with(&target, &range);
        assert_eq!((part.status, part.body.as_slice()), (206, &raw.body[2..5]));
    }
}

#[test]
fn a_raw_block_below_a_path_is_that_of_its_end() {
    let world = World::new();
    let raw = world.get("folder?format=raw");
    assert_eq!(testing::cid_of(coldfront::block::DAG_PB, &raw.body), world.folder);
    assert_eq!(raw.expect("x-ipfs-roots"), format!("{},{}", world.root, world.folder));
    assert_eq!(world.get("note.txt?format=raw").text(), "a note\n");
}

#[test]
fn a_raw_block_below_a_path_may_have_any_codec() {
    const UNKNOWN: u64 = 0x0030_0539;
    let tree = Tree::new();
    for codec in [coldfront::block::DAG_CBOR, UNKNOWN] {
        // Says nothing in dag-cbor either: the bytes are not looked at.
        let data = b"\xFFnot dag-cbor";
        let end = Block::verified(testing::cid_of(codec, data), data.to_vec().into()).unwrap();
        tree.put(&end);
        let made = Made { cid: *end.cid(), size: 0, tsize: 0 };
        let folder = testing::directory([("end", made)], &mut |block| tree.put(&block));
        let server = Server::over(&tree);
        let target = format!("{}/end", ipfs(&folder.cid));
        assert_error(&server.get(&target), 501, "?format=raw");
        let by_accept = [("Accept", "application/vnd.ipld.raw")];
        let mut client = server.client();
        for raw in [
            client.get(&format!("{target}?format=raw")),
            client.get_with(&target, &by_accept),
            client.get(&format!("{}?format=raw", ipfs(end.cid()))),
        ] {
            assert_eq!((raw.status, raw.body.as_slice()), (200, &data[..]));
            assert_eq!(raw.expect("etag"), format!("\"{}.raw\"", end.cid()));
        }
        let part = client.get_with(&format!("{target}?format=raw"), &[("Range", "bytes=1-3")]);
        assert_eq!((part.status, part.body.as_slice()), (206, &b"not"[..]));
        assert_eq!(part.expect("x-ipfs-roots"), format!("{},{}", folder.cid, end.cid()));
        let head = client.head(&format!("{target}?format=raw"));
        assert_eq!((head.status, head.expect("content-length")), (200, "13"));
    }
}

#[test]
fn a_raw_block_that_is_not_held_is_404_by_the_cid_that_was_asked_for() {
    let world = World::new();
    let gone = testing::cid_of(coldfront::block::DAG_PB, b"nowhere");
    let target = format!("{}?format=raw", ipfs(&gone));
    assert_error(&world.server.get(&target), 404, &gone.to_string());
    assert_eq!(world.server.client().head(&target).status, 404);
    let only_if_cached = [("Cache-Control", "only-if-cached")];
    let answer = world.server.client().get_with(&target, &only_if_cached);
    assert_eq!((answer.status, answer.body.len()), (412, 0));
}

#[test]
fn a_format_that_is_not_served_is_406_and_an_unknown_type_in_accept_is_no_wish() {
    let world = World::new();
    assert_error(&world.get("note.txt?format=car"), 406, "?format=raw");
    assert_error(&world.get_with("note.txt", &[("Accept", "application/x-tar")]), 406, "x-tar");
    assert_eq!(
        world.get_with("note.txt", &[("Accept", "image/webp,*/*;q=0.8")]).text(),
        "a note\n"
    );
}

// Conditions and caching.

#[test]
fn if_none_match_is_a_list_compared_weakly_and_304_repeats_the_headers() {
    let world = World::new();
    let tag = format!("\"{}\"", world.film_cid);
    let whole = world.get("film.mp4");
    assert_eq!(whole.expect("cache-control"), IMMUTABLE);
    for field in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let answer = world.get_with("film.mp4", &[("If-None-Match", &field)]);
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{field}");
        for name in
            ["etag", "cache-control", "x-ipfs-path", "x-ipfs-roots", "access-control-allow-origin"]
        {
            assert_eq!(answer.expect(name), whole.expect(name), "{field}");
        }
    }
    let bare_cid = world.film_cid.to_string();
    assert_eq!(world.get_with("film.mp4", &[("If-None-Match", &bare_cid)]).status, 200);
    assert_eq!(world.get_with("film.mp4", &[("If-None-Match", "\"other\"")]).body, world.film);
}

#[test]
fn a_listing_is_known_by_its_own_tag_and_by_that_of_its_directory() {
    let world = World::new();
    let own = world.get("folder/").expect("etag").to_owned();
    assert!(
        own.starts_with("\"DirIndex-") && own.ends_with(&format!("_CID-{}\"", world.folder)),
        "{own}"
    );
    for tag in [own, format!("\"{}\"", world.folder), format!("W/\"{}\"", world.folder)] {
        assert_eq!(world.get_with("folder/", &[("If-None-Match", &tag)]).status, 304, "{tag}");
    }
}

#[test]
fn no_condition_is_met_by_what_is_not_there() {
    let world = World::new();
    let any = [("If-None-Match", "*")];
    assert_eq!(world.get_with("nothing.txt", &any).status, 404);
    let missing = ipfs(&testing::cid_of(coldfront::block::RAW, b"nowhere"));
    assert_eq!(world.server.client().get_with(&missing, &any).status, 404);
}

#[test]
fn only_if_cached_is_412_without_a_body_for_a_root_that_is_not_held_and_nothing_special_else() {
    let world = World::new();
    let missing = ipfs(&testing::cid_of(coldfront::block::RAW, b"nowhere"));
    for method in ["GET", "HEAD"] {
        for value in ["only-if-cached", "max-age=0, Only-If-Cached"] {
            let headers = [("Cache-Control", value)];
            let answer = world.server.client().ask(method, &missing, &headers);
            assert_eq!((answer.status, answer.body.len()), (412, 0));
            let held = world.server.client().ask(method, &world.at("note.txt"), &headers);
            assert_eq!(held.status, 200);
        }
    }
}

#[test]
fn if_match_that_fails_is_412_and_if_range_that_fails_is_the_whole_file() {
    let world = World::new();
    let tag = format!("\"{}\"", world.film_cid);
    assert_eq!(world.get_with("film.mp4", &[("If-Match", "\"other\"")]).status, 412);
    assert_eq!(world.get_with("film.mp4", &[("If-Match", &tag)]).status, 200);
    let range = ("Range", "bytes=0-9");
    assert_eq!(world.get_with("film.mp4", &[range, ("If-Range", &tag)]).status, 206);
    let stale = world.get_with("film.mp4", &[range, ("If-Range", "\"other\"")]);
    assert_eq!((stale.status, stale.body.len()), (200, world.film.len()));
}

#[test]
fn a_time_of_change_is_told_and_asked_for_where_the_file_has_one() {
    let (golden, server) = common::golden_server();
    let folder = ipfs(&golden.cid("mode-mtime"));
    let entries = golden.expected["listings"]["mode-mtime"].as_array().unwrap();
    let timed = entries.iter().find(|e| e["type"] == "file" && e["mtime"].is_string()).unwrap();
    let target = format!("{folder}/{}", timed["name"].as_str().unwrap());
    let date = server.get(&target).expect("last-modified").to_owned();
    assert_eq!(date, "Wed, 03 Feb 2021 04:05:06 GMT", "{timed}");
    let since = server.client().get_with(&target, &[("If-Modified-Since", &date)]);
    assert_eq!(since.status, 304);
    let unmodified = [("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    assert_eq!(server.client().get_with(&target, &unmodified).status, 412);
}

/// As in boxo: the page is made here, and may look different tomorrow.
#[test]
fn a_listing_has_no_time_of_change_even_where_its_directory_has_one() {
    let (golden, server) = common::golden_server();
    let target = format!("{}/inner/", ipfs(&golden.cid("mode-mtime")));
    let page = server.get(&target);
    assert_eq!((page.status, page.header("last-modified")), (200, None));
    let since = [("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")];
    assert_eq!(server.client().get_with(&target, &since).status, 200);
}

// Ranges.

#[test]
fn a_range_is_206_with_what_it_is_and_its_length() {
    let world = World::new();
    let size = world.film.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=262140-262150", 262_140, 262_151),
        ("bytes=699990-", 699_990, size),
        ("bytes=-7", size - 7, size),
        ("bytes=-999999999", 0, size),
        ("BYTES=5-5", 5, 6),
        ("bytes=5-99999999999999999999999", 5, size),
    ] {
        let answer = world.film_range(range);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.expect("content-range"), format!("bytes {from}-{}/{size}", to - 1));
        assert_eq!(answer.expect("content-length"), (to - from).to_string());
        assert_eq!(answer.expect("accept-ranges"), "bytes");
        assert_eq!(answer.expect("cache-control"), IMMUTABLE);
        assert!(answer.body == world.film[from..to], "{range}");
    }
}

#[test]
fn a_range_beyond_the_end_is_416_with_the_size_and_is_not_kept() {
    let world = World::new();
    for range in ["bytes=700000-", "bytes=-0", "bytes=999999999999999999999-"] {
        let answer = world.film_range(range);
        assert_eq!((answer.status, answer.body.len()), (416, 0), "{range}");
        assert_eq!(answer.expect("content-range"), "bytes */700000");
        // A cache that kept it for this address would keep the file from everybody.
        assert_eq!(answer.expect("cache-control"), "no-store", "{range}");
    }
    assert_eq!(world.get_with("empty.bin", &[("Range", "bytes=0-")]).status, 416);
}

#[test]
fn a_range_that_is_no_range_is_ignored() {
    let world = World::new();
    for range in ["items=0-5", "bytes=9-5", "bytes", "bytes=", "bytes=a-b", "bytes=--5", "0-5"] {
        let answer = world.film_range(range);
        assert_eq!((answer.status, answer.body.len()), (200, world.film.len()), "{range}");
        assert_eq!(answer.header("content-range"), None);
    }
}

#[test]
fn several_ranges_are_parts_in_the_order_asked_without_the_unsatisfiable_ones() {
    let world = World::new();
    let answer = world.film_range("bytes=999999-, 500-599, 0-9, -5");
    assert_eq!(answer.status, 206);
    let parts = multipart(&answer);
    let said: Vec<&str> = parts.iter().map(|(range, _, _)| range.as_str()).collect();
    assert_eq!(said, ["bytes 500-599/700000", "bytes 0-9/700000", "bytes 699995-699999/700000"]);
    assert!(parts[0].2 == world.film[500..600] && parts[2].2 == world.film[699_995..]);
    assert!(parts.iter().all(|(_, media_type, _)| media_type == "video/mp4"));
    let one = world.film_range("bytes=999999-, 5-9");
    assert_eq!((one.status, one.expect("content-range")), (206, "bytes 5-9/700000"));
}

#[test]
fn a_range_does_not_apply_to_head_nor_to_pages() {
    let world = World::new();
    let range = [("Range", "bytes=0-9")];
    let head = world.server.client().ask("HEAD", &world.at("film.mp4"), &range);
    assert_eq!((head.status, head.expect("content-length")), (200, "700000"));
    assert_eq!(head.expect("accept-ranges"), "bytes");
    let listing = world.get_with("folder/", &range);
    assert_eq!(listing.status, 200);
    assert!(listing.text().ends_with("</html>\n"));
}

#[test]
fn a_range_beside_a_block_that_is_not_there_is_answered() {
    let tree = Tree::new();
    let content = tree::content(3 * 1000, 3);
    let plan = FilePlan { chunk: 1000, ..FilePlan::default() };
    let made = testing::file(&content, &plan, &mut |block| tree.put(&block));
    let middle = testing::cid_of(coldfront::block::RAW, &content[1000..2000]);
    std::fs::remove_file(tree.path(&middle)).unwrap();
    let server = Server::over(&tree);
    let target = format!("{}?filename=x.bin", ipfs(&made.cid));
    for (range, from, to) in [("bytes=997-999", 997, 1000), ("bytes=2200-2201", 2200, 2202)] {
        let answer = server.client().get_with(&target, &[("Range", range)]);
        assert_eq!((answer.status, answer.body.as_slice()), (206, &content[from..to]));
    }
    let inside = server.client().get_with(&target, &[("Range", "bytes=1500-1501")]);
    assert_error(&inside, 404, &middle.to_string());
}

// Names and types.

#[test]
fn filename_names_the_file_and_its_type_and_download_saves_it() {
    let world = World::new();
    let target = ipfs(&world.note_cid);
    let get = |query: &str| world.server.get(&format!("{target}?{query}"));
    let shown = get("filename=t%D1%82%22%0d%0a.html");
    assert_eq!(shown.expect("content-type"), "text/html");
    let disposition = shown.expect("content-disposition");
    assert_eq!(disposition, "inline; filename=\"t__.html\"; filename*=UTF-8''t%D1%82%22.html");
    assert_eq!(get("download=true").expect("content-disposition"), "attachment");
    assert!(
        get("download=true&filename=n")
            .expect("content-disposition")
            .starts_with("attachment; filename=\"n\"")
    );
    assert_eq!(world.server.get(&target).header("content-disposition"), None);
}

// Headers of every answer.

#[test]
fn a_service_worker_for_a_whole_root_is_refused() {
    let world = World::new();
    let worker = [("Service-Worker", "script")];
    let bare = ipfs(&world.root);
    assert_eq!(world.server.client().get_with(&bare, &worker).status, 400);
    assert_eq!(world.get_with("note.txt", &worker).status, 200);
}

#[test]
fn cors_is_on_every_answer_and_options_says_what_may_be_asked() {
    let world = World::new();
    let missing = world.at("nothing.txt");
    let film = world.at("film.mp4");
    for (method, target, status) in [
        ("GET", film.as_str(), 200),
        ("GET", missing.as_str(), 404),
        ("OPTIONS", film.as_str(), 204),
        ("OPTIONS", "*", 204),
        ("PUT", film.as_str(), 405),
    ] {
        let answer = world.server.client().ask(method, target, &[]);
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.expect("access-control-allow-origin"), "*");
        assert_eq!(answer.expect("access-control-allow-methods"), "GET, HEAD, OPTIONS");
        let allowed = answer.expect("access-control-allow-headers");
        assert_eq!(allowed, "Content-Type, Range, User-Agent, X-Requested-With");
        for name in [
            "Content-Length",
            "Content-Range",
            "X-Chunked-Output",
            "X-Ipfs-Path",
            "X-Ipfs-Roots",
            "X-Stream-Output",
        ] {
            assert!(answer.expect("access-control-expose-headers").contains(name));
        }
    }
}

#[test]
fn a_method_that_writes_is_405_with_those_that_read() {
    let world = World::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = world.server.client().ask(method, &world.at("note.txt"), &[]);
        assert_error(&answer, 405, "GET or HEAD");
        assert_eq!(answer.expect("allow"), "GET, HEAD, OPTIONS");
    }
}

#[test]
fn path_and_roots_are_those_of_the_request() {
    let world = World::new();
    let folder = world.get("folder/");
    assert_eq!(folder.expect("x-ipfs-path"), world.at("folder/"));
    assert_eq!(folder.expect("x-ipfs-roots"), format!("{},{}", world.root, world.folder));
    let note = world.get("folder/a,b%20c.txt");
    assert_eq!(note.expect("x-ipfs-path"), world.at("folder/a,b c.txt"));
    assert_eq!(
        note.expect("x-ipfs-roots"),
        format!("{},{},{}", world.root, world.folder, world.note_cid)
    );
    // No field value can carry other letters unharmed.
    assert_eq!(world.get("%C4%85/").header("x-ipfs-path"), None);
}

#[test]
fn an_error_is_text_for_programs_and_a_page_for_browsers_and_quotes_nothing_as_html() {
    let world = World::new();
    let path = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let text = world.get(path);
    assert_eq!(text.expect("content-type"), "text/plain; charset=utf-8");
    let page = world.get_with(path, &[("Accept", "text/html,*/*;q=0.8")]);
    assert_eq!((page.status, page.expect("content-type")), (404, "text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!DOCTYPE html>") && !page.text().contains("<script>"));
    let head = world.server.client().head(&world.at(path));
    assert_eq!(head.described(), text.described());
}

// Connections.

#[test]
fn a_connection_goes_on_after_each_kind_of_answer() {
    let world = World::new();
    let mut client = world.server.client();
    let film = world.at("film.mp4");
    for _ in 0..2 {
        assert_eq!(client.get(&film).body, world.film);
        assert_eq!(client.get_with(&film, &[("Range", "bytes=1-2")]).status, 206);
        assert_eq!(client.get_with(&film, &[("Range", "bytes=0-1,9-10")]).status, 206);
        assert_eq!(client.get_with(&film, &[("If-None-Match", "*")]).status, 304);
        assert_eq!(client.get(&world.at("nothing")).status, 404);
        assert_eq!(client.get_with(&film, &[("Range", "bytes=-0")]).status, 416);
        assert_eq!(client.get_with(&film, &[("If-Match", "\"x\"")]).status, 412);
        assert_eq!(client.head(&film).status, 200);
        assert_eq!(client.head(&world.at("folder/")).status, 200);
        assert_eq!(client.get(&world.at("folder/")).status, 200);
        assert_eq!(client.get(&world.at("folder")).status, 301);
        assert_eq!(client.ask("OPTIONS", &film, &[]).status, 204);
        assert_eq!(client.ask("DELETE", &film, &[]).status, 405);
        assert_eq!(client.get("/ipfs/x").status, 400);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = World::new();
    let mut client = world.server.client();
    let (film, note) = (world.at("film.mp4"), world.at("note.txt"));
    let mut all = request("GET", &film, &[]);
    all.extend(request("HEAD", &note, &[]));
    all.extend(request("GET", &note, &[]));
    all.extend(request("GET", &film, &[("Range", "bytes=3-5")]));
    client.send(all);
    assert_eq!(client.response("GET").unwrap().body, world.film);
    assert_eq!(client.response("HEAD").unwrap().expect("content-length"), "7");
    assert_eq!(client.response("GET").unwrap().text(), "a note\n");
    assert_eq!(client.response("GET").unwrap().body, world.film[3..6]);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let world = World::new();
    let mut client = world.server.client();
    for byte in request("GET", &world.at("note.txt"), &[]) {
        client.send([byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(client.response("GET").unwrap().text(), "a note\n");
}

#[test]
fn connection_close_and_http_1_0_end_with_the_answer() {
    let world = World::new();
    let mut client = world.server.client();
    let answer = client.get_with(&world.at("note.txt"), &[("Connection", "close")]);
    assert_eq!(answer.text(), "a note\n");
    assert!(client.is_closed_within(common::PATIENCE));

    for (target, ends) in [(world.at("note.txt"), "a note\n"), (world.at("folder/"), "</html>\n")] {
        let mut old = world.server.client();
        old.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        let answer = old.response("GET").unwrap();
        assert_eq!(answer.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
        assert!(answer.text().ends_with(ends));
        assert!(old.is_closed_within(common::PATIENCE));
    }
    let mut kept = world.server.client();
    for _ in 0..2 {
        kept.send(format!(
            "GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            world.at("note.txt")
        ));
        assert_eq!(kept.response("GET").unwrap().text(), "a note\n");
    }
}

#[test]
fn an_absolute_target_is_its_path() {
    let world = World::new();
    let target = format!("http://other.example{}", world.at("note.txt"));
    assert_eq!(world.server.get(&target).text(), "a note\n");
}

#[test]
fn a_body_in_a_request_is_not_taken_for_the_next_request() {
    let world = World::new();
    let mut client = world.server.client();
    let smuggled = request("GET", &world.at("film.mp4"), &[]);
    let mut bytes =
        request("GET", &world.at("note.txt"), &[("Content-Length", &smuggled.len().to_string())]);
    bytes.extend(&smuggled);
    client.send(bytes);
    assert_eq!(client.response("GET").unwrap().text(), "a note\n");
    next_is_the_note_or_the_end(&world, &mut client);

    let mut client = world.server.client();
    client.send(request("POST", &world.at("note.txt"), &[("Transfer-Encoding", "chunked")]));
    assert_eq!(client.response("POST").unwrap().status, 405);
    // The answer needs no body, so the connection may be over by now.
    let rest =
        [format!("{:x}\r\n", smuggled.len()).as_bytes(), &smuggled, b"\r\n0\r\n\r\n"].concat();
    let _ = client.stream.write_all(&rest);
    next_is_the_note_or_the_end(&world, &mut client);
}

/// Either the connection goes on with what is asked now, or it is over.
fn next_is_the_note_or_the_end(world: &World, client: &mut Client) {
    if let Ok(answer) = client.try_ask("GET", &world.at("note.txt"), &[]) {
        assert_eq!(answer.text(), "a note\n");
    }
}

#[test]
fn an_upload_that_waits_for_a_go_is_refused_before_it_is_sent() {
    let world = World::new();
    let mut client = world.server.client();
    let headers = [("Content-Length", "1000000000"), ("Expect", "100-continue")];
    client.send(request("PUT", &world.at("note.txt"), &headers));
    let answer = client.response_head().unwrap();
    assert_eq!(answer.status, 405, "no 100 before it");
}

#[test]
fn every_answer_has_a_date_and_none_names_the_software_below() {
    let world = World::new();
    let answer = world.get("note.txt");
    assert!(answer.expect("date").ends_with(" GMT"));
    assert!(find(format!("{:?}", answer.headers).as_bytes(), b"hyper").is_none());
}
