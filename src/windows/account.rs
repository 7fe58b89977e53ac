//! The accounts that `runAsUserName` names, as the API server validates them and as hcsshim logs
//! them on (`internal/jobcontainers/logon.go`, `processToken`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::fold::{fold, unfold};

/// The domain of the service accounts. hcsshim compares it letter for letter before it chooses
/// the service logon without which these accounts cannot log on.
const NT_AUTHORITY: &str = "NT AUTHORITY";

// Kubernetes pkg/apis/core/validation/validation.go, `maxRunAsUserNameDomainLength` and
// `maxRunAsUserNameUserLength`; both count bytes.
const DOMAIN_LIMIT: usize = 256;
const USER_LIMIT: usize = 104;
/// The longest NetBIOS domain (`validNetBiosRegex`).
const NETBIOS_LIMIT: usize = 15;
/// What neither a user's nor a NetBIOS domain's name may hold.
const NO_USER: &str = "\"/\\:;|=,+*?<>@[]";
const NO_NETBIOS: &str = "\\/:*?\"<>|";

/// What an account is, as far as it matters who may enter a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// `NT AUTHORITY\SYSTEM`
    System,
    /// `NT AUTHORITY\LocalService`
    LocalService,
    /// `NT AUTHORITY\NetworkService`
    NetworkService,
    /// A user or a local group; which of them only the node knows.
    Other,
}

/// Why a text names no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountFault {
    /// The empty string, on which hcsshim fails (`empty username or group name passed`).
    #[error("is empty: expected an account such as `NT AUTHORITY\\SYSTEM` or a local group's name")]
    Empty,
    /// A control character.
    #[error("holds a control character")]
    Control,
    /// More than one backslash.
    #[error("holds more than one backslash: expected `DOMAIN\\USER` or `USER`")]
    Backslashes,
    /// A domain that is neither a NetBIOS nor a DNS name.
    #[error(
        "has a domain `{0}` that is neither a NetBIOS name (at most 15 characters) nor a DNS name"
    )]
    Domain(String),
    /// No user after the domain.
    #[error("names no user after the backslash")]
    NoUser,
    /// A user's name beyond the limit.
    #[error("has a user's name of {0} bytes: at most {USER_LIMIT} are allowed")]
    UserLength(usize),
    /// A user's name of nothing but dots and spaces.
    #[error("has a user's name of nothing but dots and spaces")]
    OnlyDots,
    /// A character that a user's name may not hold.
    #[error("has a user's name with `{0}`: none of {NO_USER} may stand there")]
    Character(char),
}

/// An account or local group that Kubernetes accepts as `runAsUserName`. Two are equal if Windows
/// takes them for one; `DOMAIN\user` and `user` are not, since who that is differs by node.
#[derive(Clone, Debug)]
pub struct Account {
    text: String,
    domain: Option<String>,
    user: String,
}

impl Account {
    /// Parses an account by the rules of `validateWindowsSecurityContextOptions`
    /// (Kubernetes `pkg/apis/core/validation/validation.go`).
    pub fn parse(text: &str) -> Result<Self, AccountFault> {
        if text.is_empty() {
            return Err(AccountFault::Empty);
        }
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(AccountFault::Control);
        }
        let (domain, user) = match text.split_once('\\') {
            Some((_, user)) if user.contains('\\') => return Err(AccountFault::Backslashes),
            Some((domain, user)) => (Some(domain), user),
            None => (None, text),
        };
        if let Some(domain) = domain
            && (domain.len() >= DOMAIN_LIMIT || !(is_netbios(domain) || is_dns(domain)))
        {
            return Err(AccountFault::Domain(domain.to_owned()));
        }
        if user.is_empty() {
            return Err(AccountFault::NoUser);
        }
        if user.len() > USER_LIMIT {
            return Err(AccountFault::UserLength(user.len()));
        }
        if user.chars().all(|c| matches!(c, '.' | ' ')) {
            return Err(AccountFault::OnlyDots);
        }
        if let Some(c) = user.chars().find(|&c| NO_USER.contains(c)) {
            return Err(AccountFault::Character(c));
        }
        Ok(Self {
            text: text.to_owned(),
            domain: domain.map(fold),
            user: fold(user),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As a node has to read it: hcsshim knows the service accounts by the very letters
    /// `NT AUTHORITY`, although Windows would take others too.
    pub fn canonical(&self) -> String {
        match (self.kind(), self.text.split_once('\\')) {
            (AccountKind::Other, _) | (_, None) => self.text.clone(),
            (_, Some((_, user))) => format!("{NT_AUTHORITY}\\{user}"),
        }
    }

    /// What it is. A service account counts as such with its domain only: without it hcsshim
    /// attempts an interactive logon, which fails.
    pub fn kind(&self) -> AccountKind {
        if self.domain.as_deref() != Some(NT_AUTHORITY) {
            return AccountKind::Other;
        }
        match self.user.as_str() {
            "SYSTEM" => AccountKind::System,
            "LOCALSERVICE" | "LOCAL SERVICE" => AccountKind::LocalService,
            "NETWORKSERVICE" | "NETWORK SERVICE" => AccountKind::NetworkService,
            _ => AccountKind::Other,
        }
    }

    /// What a right to it is named in RBAC: one name for all spellings that are one account, in small letters
    /// as far as Windows folds them, e.g. `nt authority\system`.
    pub fn right_name(&self) -> String {
        let service = |user| format!("{}\\{user}", NT_AUTHORITY.to_ascii_lowercase());
        match self.kind() {
            AccountKind::System => service("system"),
            AccountKind::LocalService => service("localservice"),
            AccountKind::NetworkService => service("networkservice"),
            AccountKind::Other => {
                let user = unfold(&self.user);
                match &self.domain {
                    Some(domain) => format!("{}\\{user}", unfold(domain)),
                    None => user,
                }
            }
        }
    }

    /// What equality and order compare: service accounts have two spellings.
    fn key(&self) -> (AccountKind, &Option<String>, &str) {
        match self.kind() {
            AccountKind::Other => (AccountKind::Other, &self.domain, &self.user),
            kind => (kind, &None, ""),
        }
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Account {}

impl Hash for Account {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl FromStr for Account {
    type Err = AccountFault;

    fn from_str(text: &str) -> Result<Self, AccountFault> {
        Self::parse(text)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `validNetBiosRegex`
fn is_netbios(domain: &str) -> bool {
    !domain.is_empty()
        && !domain.starts_with('.')
        && domain.chars().count() <= NETBIOS_LIMIT
        && !domain.chars().any(|c| NO_NETBIOS.contains(c))
}

/// `validWindowsUserDomainDNSRegex`
fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(text: &str) -> Account {
        Account::parse(text).unwrap()
    }

    #[test]
    fn knows_the_service_accounts_in_every_spelling() {
        for (text, kind) in [
            (r"NT AUTHORITY\SYSTEM", AccountKind::System),
            (r"nt authority\system", AccountKind::System),
            (r"NT AUTHORITY\Local service", AccountKind::LocalService),
            (r"NT AUTHORITY\LocalService", AccountKind::LocalService),
            (r"NT AUTHORITY\NETWORK SERVICE", AccountKind::NetworkService),
            (r"NT AUTHORITY\NetworkService", AccountKind::NetworkService),
            ("SYSTEM", AccountKind::Other),
            ("LocalService", AccountKind::Other),
            (r"NT AUTHORITY\IUSR", AccountKind::Other),
            (r"NT-AUTORITÄT\SYSTEM", AccountKind::Other),
            (r"CORP\SYSTEM", AccountKind::Other),
            (r"NT AUTHORITY\SYSTEM ", AccountKind::Other),
            ("albums-operators", AccountKind::Other),
        ] {
            assert_eq!(account(text).kind(), kind, "{text}");
        }
    }

    #[test]
    fn compares_without_case() {
        assert_eq!(
            account(r"nt authority\SYSTEM"),
            account(r"NT AUTHORITY\system")
        );
        assert_eq!(
            account(r"NT AUTHORITY\LocalService"),
            account(r"NT AUTHORITY\local service")
        );
        assert_eq!(account(r"Corp\Jürgen"), account(r"CORP\JÜRGEN"));
        assert_ne!(account(r"CORP\albums"), account("albums"));
        assert_ne!(account("SYSTEM"), account(r"NT AUTHORITY\SYSTEM"));
        assert_ne!(account(r"A\albums"), account(r"B\albums"));
    }

    #[test]
    fn has_one_name_in_rbac_for_all_its_spellings_and_shares_it_with_no_other() {
        for (text, name) in [
            (r"NT AUTHORITY\SYSTEM", r"nt authority\system"),
            (r"nt authority\Local Service", r"nt authority\localservice"),
            (
                r"NT AUTHORITY\NetworkService",
                r"nt authority\networkservice",
            ),
            (r"CORP\JÜRGEN", r"corp\jürgen"),
            (r"corp\jürgen", r"corp\jürgen"),
            ("Albums-Operators", "albums-operators"),
            ("SYSTEM", "system"),
            // Not the letters that they look like.
            ("\u{212a}", "\u{212a}"),
            ("ı", "ı"),
        ] {
            assert_eq!(account(text).right_name(), name, "{text}");
        }
    }

    #[test]
    fn writes_the_domain_as_hcsshim_reads_it() {
        assert_eq!(
            account(r"nt authority\Local service").canonical(),
            r"NT AUTHORITY\Local service"
        );
        assert_eq!(account(r"corp\Albums").canonical(), r"corp\Albums");
        assert_eq!(
            account(r"nt authority\iusr").canonical(),
            r"nt authority\iusr"
        );
    }

    #[test]
    fn refuses_what_the_api_server_refuses() {
        let long = "x".repeat(USER_LIMIT + 1);
        for (text, fault) in [
            ("", AccountFault::Empty),
            ("a\nb", AccountFault::Control),
            (r"a\b\c", AccountFault::Backslashes),
            (r"\user", AccountFault::Domain(String::new())),
            (r".\user", AccountFault::Domain(".".to_owned())),
            (
                r"sixteen_letters_\u",
                AccountFault::Domain("sixteen_letters_".to_owned()),
            ),
            (
                r"-long-name.corp.example\u",
                AccountFault::Domain("-long-name.corp.example".to_owned()),
            ),
            (r"CORP\", AccountFault::NoUser),
            (&long, AccountFault::UserLength(USER_LIMIT + 1)),
            ("...", AccountFault::OnlyDots),
            (r"CORP\ ", AccountFault::OnlyDots),
            ("user@corp.example", AccountFault::Character('@')),
            ("a/b", AccountFault::Character('/')),
        ] {
            assert_eq!(Account::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        let deep = ["a"; 128].join("."); // 255 bytes
        for text in [
            "Administrator",
            r"fifteen_letters\u",
            r"some.long.domain.example\u",
            "with space",
            "dotted.name.",
            &format!(r"{deep}\u"),
            &"x".repeat(USER_LIMIT),
        ] {
            assert_eq!(account(text).as_str(), text);
        }
        assert!(Account::parse(&format!(r"{deep}.a\u")).is_err());
    }
}
