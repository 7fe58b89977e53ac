//! Probes and hooks: what the kubelet does to a container from outside.

use crate::json::{Cursor, Error, Kind};
use std::borrow::Cow;

/// What a probe or a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler<'a> {
    /// `exec.command`
    Exec(Vec<Cow<'a, str>>),
    /// `httpGet`
    Http(HttpGet<'a>),
    /// `tcpSocket`
    Tcp {
        /// `port`
        port: PortRef<'a>,
        /// `host`
        host: Option<Cow<'a, str>>,
    },
    /// `grpc`
    Grpc {
        /// `port`
        port: i64,
        /// `service`
        service: Option<Cow<'a, str>>,
    },
    /// `sleep.seconds`
    Sleep(i64),
    /// None that is known here.
    Unknown,
}

/// `httpGet`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGet<'a> {
    /// `port`
    pub port: PortRef<'a>,
    /// `path`
    pub path: Option<Cow<'a, str>>,
    /// `scheme`
    pub scheme: Option<Cow<'a, str>>,
    /// `host`
    pub host: Option<Cow<'a, str>>,
    /// `httpHeaders`
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef<'a> {
    /// A number.
    Number(i64),
    /// The name of one of the container's ports.
    Name(Cow<'a, str>),
}

impl Default for PortRef<'_> {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl<'a> PortRef<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        if cursor.kind()? == Kind::String {
            return cursor.string().map(Self::Name);
        }
        Ok(Self::Number(cursor.int_or_null()?.unwrap_or_default()))
    }
}

impl<'a> Handler<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Error> {
        if cursor.null()? {
            return Ok(None);
        }
        let mut handler = None;
        cursor.object(|key, value| {
            match Self::read_member(key, value)? {
                Some(read) => handler = Some(read),
                None => value.skip()?,
            }
            Ok(())
        })?;
        Ok(Some(handler.unwrap_or(Self::Unknown)))
    }

    /// Reads one of the handlers; `None`, without moving, if `key` names none or it is `null`.
    fn read_member(key: &str, value: &mut Cursor<'a>) -> Result<Option<Self>, Error> {
        if !matches!(key, "exec" | "httpGet" | "tcpSocket" | "grpc" | "sleep")
            || value.kind()? == Kind::Null
        {
            return Ok(None);
        }
        Ok(Some(match key {
            "exec" => {
                let mut command = Vec::new();
                value.object(|key, value| {
                    match key {
                        "command" => command = value.strings()?,
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
                Self::Exec(command)
            }
            "httpGet" => Self::Http(HttpGet::read(value)?),
            "tcpSocket" => {
                let (mut port, mut host) = (PortRef::default(), None);
                value.object(|key, value| {
                    match key {
                        "port" => port = PortRef::read(value)?,
                        "host" => host = value.string_or_null()?,
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
                Self::Tcp { port, host }
            }
            "grpc" => {
                let (mut port, mut service) = (0, None);
                value.object(|key, value| {
                    match key {
                        "port" => port = value.int_or_null()?.unwrap_or_default(),
                        "service" => service = value.string_or_null()?,
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
                Self::Grpc { port, service }
            }
            _ => {
                let mut seconds = 0;
                value.object(|key, value| {
                    match key {
                        "seconds" => seconds = value.int_or_null()?.unwrap_or_default(),
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
                Self::Sleep(seconds)
            }
        }))
    }
}

impl<'a> HttpGet<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut http = Self::default();
        cursor.object(|key, value| {
            match key {
                "port" => http.port = PortRef::read(value)?,
                "path" => http.path = value.string_or_null()?,
                "scheme" => http.scheme = value.string_or_null()?,
                "host" => http.host = value.string_or_null()?.filter(|host| !host.is_empty()),
                "httpHeaders" => value.array(|_, header| {
                    let (mut name, mut text) = (Cow::default(), Cow::default());
                    header.object(|key, value| {
                        match key {
                            "name" => name = value.string_or_null()?.unwrap_or_default(),
                            "value" => text = value.string_or_null()?.unwrap_or_default(),
                            _ => value.skip()?,
                        }
                        Ok(())
                    })?;
                    http.headers.push((name, text));
                    Ok(())
                })?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        Ok(http)
    }
}

/// A probe: what it does, and its numbers where they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe<'a> {
    /// What it does.
    pub handler: Handler<'a>,
    /// `initialDelaySeconds`
    pub initial_delay: Option<i64>,
    /// `timeoutSeconds`
    pub timeout: Option<i64>,
    /// `periodSeconds`
    pub period: Option<i64>,
    /// `successThreshold`
    pub success: Option<i64>,
    /// `failureThreshold`
    pub failure: Option<i64>,
    /// `terminationGracePeriodSeconds`
    pub grace: Option<i64>,
}

impl<'a> Probe<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Error> {
        if cursor.null()? {
            return Ok(None);
        }
        let mut probe = Self {
            handler: Handler::Unknown,
            initial_delay: None,
            timeout: None,
            period: None,
            success: None,
            failure: None,
            grace: None,
        };
        cursor.object(|key, value| {
            match key {
                "initialDelaySeconds" => probe.initial_delay = value.int_or_null()?,
                "timeoutSeconds" => probe.timeout = value.int_or_null()?,
                "periodSeconds" => probe.period = value.int_or_null()?,
                "successThreshold" => probe.success = value.int_or_null()?,
                "failureThreshold" => probe.failure = value.int_or_null()?,
                "terminationGracePeriodSeconds" => probe.grace = value.int_or_null()?,
                _ => match Handler::read_member(key, value)? {
                    Some(handler) => probe.handler = handler,
                    None => value.skip()?,
                },
            }
            Ok(())
        })?;
        Ok(Some(probe))
    }
}
