//! The target's environment: the launcher's own, with a few variables set.

use std::net::IpAddr;

use crate::names;
use crate::run::Run;

/// A variable's name and value. Windows keeps UTF-16 that need not be well-formed; such a value passes the
/// launcher as the bytes of `OsString`, so this is generic over the text.
pub type Variable<T> = (T, T);

/// What the launcher sets for a target in a compartment: the address in the variables that ask for it, and
/// the compartment's number for programs that attach themselves.
pub fn set(run: &Run, ip: IpAddr, compartment: u32) -> Vec<Variable<String>> {
    let address = run.ip_env.iter().map(|name| (name.clone(), ip.to_string()));
    let attach = (
        names::COMPARTMENT_ID_ATTACH.to_owned(),
        compartment.to_string(),
    );
    address.chain([attach]).collect()
}

/// `inherited` with those of `set` in place of their namesakes. Windows compares names without case, and so
/// does this, at least for letters of ASCII, of which Kubernetes' names are.
pub fn merge<T: AsRef<std::ffi::OsStr>>(
    inherited: impl IntoIterator<Item = Variable<T>>,
    set: impl IntoIterator<Item = Variable<T>>,
) -> Vec<Variable<T>> {
    let set: Vec<_> = set.into_iter().collect();
    let is_set = |name: &T| {
        set.iter()
            .any(|(other, _)| other.as_ref().eq_ignore_ascii_case(name.as_ref()))
    };
    let mut all: Vec<_> = inherited
        .into_iter()
        .filter(|(name, _)| !is_set(name))
        .collect();
    all.extend(set);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_the_address_and_the_compartment() {
        let mut run = Run::new("albums", vec!["a.exe".to_owned()]);
        run.ip_env = vec!["BIND_ADDRESS".to_owned(), "POD_IP".to_owned()];
        let expected = [
            ("BIND_ADDRESS", "10.1.2.3"),
            ("POD_IP", "10.1.2.3"),
            ("COMPARTMENT_ID_ATTACH", "5"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(set(&run, IpAddr::from([10, 1, 2, 3]), 5), expected);
    }

    #[test]
    fn what_is_set_replaces_its_namesake_in_any_case() {
        let inherited = [("Path", "x"), ("Pod_IP", "172.19.1.100"), ("=C:", r"C:\a")];
        let merged = merge(inherited, [("POD_IP", "10.1.2.3")]);
        assert_eq!(
            merged,
            [("Path", "x"), ("=C:", r"C:\a"), ("POD_IP", "10.1.2.3")]
        );
    }
}
