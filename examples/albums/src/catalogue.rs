//! The albums, as JSON.

use std::fmt::Write as _;

/// One album.
struct Album {
    id: &'static str,
    title: &'static str,
    artist: &'static str,
    /// In cents: money is no floating point number.
    price: u32,
}

const ALBUMS: [Album; 3] = [
    album("1", "Kind of Blue", "Miles Davis", 2499),
    album("2", "Remain in Light", "Talking Heads", 1950),
    album("3", "Pink Moon", "Nick Drake", 2205),
];

const fn album(id: &'static str, title: &'static str, artist: &'static str, price: u32) -> Album {
    Album {
        id,
        title,
        artist,
        price,
    }
}

impl Album {
    fn write(&self, text: &mut String, indent: &str) {
        let (euros, cents) = (self.price / 100, self.price % 100);
        // Nothing in it needs escaping; a test sees to that.
        let _ = write!(
            text,
            "{indent}{{\n\
             {indent}    \"id\": \"{}\",\n\
             {indent}    \"title\": \"{}\",\n\
             {indent}    \"artist\": \"{}\",\n\
             {indent}    \"price\": {euros}.{cents:02}\n\
             {indent}}}",
            self.id, self.title, self.artist
        );
    }
}

/// All of them.
pub(crate) fn list() -> String {
    let mut text = String::from("[\n");
    for (place, album) in ALBUMS.iter().enumerate() {
        text.push_str(if place == 0 { "" } else { ",\n" });
        album.write(&mut text, "    ");
    }
    text.push_str("\n]");
    text
}

/// One of them.
pub(crate) fn find(id: &str) -> Option<String> {
    let album = ALBUMS.iter().find(|album| album.id == id)?;
    let mut text = String::new();
    album.write(&mut text, "");
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn is_a_json_list_of_what_can_be_found_one_by_one() {
        let list = list();
        assert_eq!(list.matches("\"id\"").count(), ALBUMS.len());
        for album in &ALBUMS {
            let one = find(album.id).unwrap();
            assert_eq!(list.matches(&one.replace('\n', "\n    ")).count(), 1);
            for text in [album.id, album.title, album.artist] {
                assert!(!text.contains(['"', '\\']) && !text.contains(char::is_control));
            }
        }
        assert_eq!(find("4"), None);
    }
}
