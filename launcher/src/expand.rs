//! What the kubelet and hcsshim do to arguments, for those that travel encoded and so pass
//! both untouched.

/// The variable in which hcsshim gives a HostProcess container its root folder.
pub const MOUNT_POINT: &str = "CONTAINER_SANDBOX_MOUNT_POINT";

/// A piece of an argument, as the kubelet's expansion sees it.
enum Piece<'a> {
    Text(&'a str),
    Reference { name: &'a str, whole: &'a str },
}

/// Splits an argument by the rules of Kubernetes' `third_party/forked/golang/expansion/expand.go`:
/// `$(NAME)` is a reference, `$$` is one `$`, any other `$` is itself.
///
/// One difference: before a character that is not ASCII the original turns its first byte into a
/// character of its own (`string(input[0])`) and so garbles it; here it stays what it was.
fn pieces(argument: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = argument;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (length, piece) = match rest.strip_prefix('$') {
            None => {
                let length = rest.find('$').unwrap_or(rest.len());
                (length, Piece::Text(&rest[..length]))
            }
            Some(after) if after.starts_with('$') => (2, Piece::Text("$")),
            Some(after) => {
                if let Some((name, _)) = after.strip_prefix('(').and_then(|n| n.split_once(')')) {
                    let length = name.len() + 3;
                    let whole = &rest[..length];
                    (length, Piece::Reference { name, whole })
                } else {
                    // An unfinished reference, or a `$` before anything else: both characters
                    // are passed on, and neither begins a reference.
                    let next = after.chars().next().map_or(0, char::len_utf8);
                    (1 + next, Piece::Text(&rest[..=next]))
                }
            }
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// Expands `$(NAME)` as the kubelet does: `lookup` gives a variable's value, and a reference to
/// what it does not know stays as it is written.
///
/// The launcher looks a name up in its environment, letter for letter (Windows would ignore
/// case, the kubelet does not); hcsshim drops empty variables (`internal/cmd/cmd.go`), so a name
/// of [`Run::declared`](crate::Run::declared) that is missing there is the empty string.
pub fn expand(argument: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(argument.len());
    for piece in pieces(argument) {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Reference { name, whole } => match lookup(name) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(whole),
            },
        }
    }
    expanded
}

/// The names that an argument refers to, in order, each as often as it stands there.
pub fn references(argument: &str) -> impl Iterator<Item = &str> {
    pieces(argument).filter_map(|piece| match piece {
        Piece::Reference { name, .. } => Some(name),
        Piece::Text(_) => None,
    })
}

/// Puts the container's root folder where an argument names it, as hcsshim does in the command
/// line: `%CONTAINER_SANDBOX_MOUNT_POINT%` first, then `$env:CONTAINER_SANDBOX_MOUNT_POINT`, letter
/// for letter, each by the folder without its last character, which is the backslash of `C:\hpc\`
/// (`internal/jobcontainers/jobcontainer.go`, `replaceWithMountPoint`).
///
/// `root` is the value of the variable [`MOUNT_POINT`] in the launcher's environment. A root
/// without a closing backslash (a containerd annotation can give one) loses no letter here, unlike
/// there. It comes after [`expand`], as on the node.
pub fn replace_mount_point(argument: &str, root: &str) -> String {
    let root = root.strip_suffix('\\').unwrap_or(root);
    argument
        .replace(&format!("%{MOUNT_POINT}%"), root)
        .replace(&format!("$env:{MOUNT_POINT}"), root)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "VAR_A" => Some("A".to_owned()),
            "VAR_B" => Some("$(VAR_A)".to_owned()),
            "VAR_EMPTY" => Some(String::new()),
            "VAR(X" => Some("odd".to_owned()),
            _ => None,
        }
    }

    /// The cases that Kubernetes' `expand_test.go` documents, put in our words.
    #[test]
    fn expands_as_the_kubelet_does() {
        for (input, expected) in [
            ("", ""),
            ("no variable", "no variable"),
            ("$(VAR_A)", "A"),
            ("--x=$(VAR_A)/y", "--x=A/y"),
            ("$(VAR_A)$(VAR_EMPTY)$(VAR_A)", "AA"),
            // values are not expanded again
            ("$(VAR_B)", "$(VAR_A)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$$$$$(VAR_A)", "$$A"),
            ("foo$$bar", "foo$bar"),
            ("$", "$"),
            ("$$", "$"),
            ("$$$", "$$"),
            ("a$", "a$"),
            ("$VAR_A", "$VAR_A"),
            ("$(VAR_A", "$(VAR_A"),
            ("$($(VAR_A)", "$($(VAR_A)"),
            ("$(VAR(X)", "odd"),
            ("$()", "$()"),
            ("$\\(VAR_A)", "$\\(VAR_A)"),
            ("$é(VAR_A)", "$é(VAR_A)"),
            ("$-$(VAR_A)", "$-A"),
            ("$(", "$("),
            ("$((", "$(("),
            ("$)", "$)"),
        ] {
            assert_eq!(expand(input, lookup), expected, "{input}");
        }
    }

    #[test]
    fn names_what_is_referred_to() {
        let names: Vec<_> = references("$(A)x$$(B)$(C D)$(A)$(").collect();
        assert_eq!(names, ["A", "C D", "A"]);
    }

    #[test]
    fn puts_the_root_folder_in_place() {
        for (input, expected) in [
            (r"%CONTAINER_SANDBOX_MOUNT_POINT%\a.exe", r"C:\hpc\a.exe"),
            (
                r"--dir=$env:CONTAINER_SANDBOX_MOUNT_POINT\x",
                r"--dir=C:\hpc\x",
            ),
            // letter for letter: neither cmd nor PowerShell reads it
            (
                r"%container_sandbox_mount_point%\a",
                r"%container_sandbox_mount_point%\a",
            ),
            ("%PATH%", "%PATH%"),
        ] {
            assert_eq!(replace_mount_point(input, r"C:\hpc\"), expected);
        }
        assert_eq!(
            replace_mount_point("%CONTAINER_SANDBOX_MOUNT_POINT%", r"D:\x"),
            r"D:\x"
        );
    }

    proptest! {
        #[test]
        fn without_a_dollar_nothing_changes(text in "[^$]*") {
            prop_assert_eq!(expand(&text, lookup), text);
        }

        #[test]
        fn doubled_dollars_come_back(text in any::<String>()) {
            prop_assert_eq!(expand(&text.replace('$', "$$"), lookup), text);
        }

        #[test]
        fn unknown_names_stay(name in "[^)]*") {
            let reference = format!("$({name})");
            prop_assert_eq!(expand(&reference, |_| None), reference.as_str());
            prop_assert_eq!(references(&reference).collect::<Vec<_>>(), [name.as_str()]);
        }
    }
}
