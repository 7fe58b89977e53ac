//! Which request gets which answer. No clock and no socket: what else is to happen is said, not done.

use std::time::Duration;

use crate::catalogue;
use crate::request::{Answer, Request};
use crate::settings::{Settings, duration};
use crate::state::{Health, State};

/// No answer takes longer than that of its own will.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Which listener a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Everything is there, health too: a mesh may intercept the one port and not the other.
    App,
    /// Nothing but health.
    Health,
}

/// An answer, and what goes with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    /// Before it is given.
    pub(crate) delay: Duration,
    /// After it was given.
    pub(crate) then: Then,
}

/// What happens after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    #[default]
    Nothing,
    /// The process ends at once, with that code: a crash.
    Exit(i32),
    /// It stops in good order.
    Stop,
}

/// The answer to one request.
pub(crate) fn answer(request: &Request, port: Port, settings: &Settings, state: &State) -> Outcome {
    let mut path = request.path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (path.next().unwrap_or_default(), path.next());
    let knob = first == "admin" && settings.knobs;
    if port == Port::Health && first != "health" {
        return message(404, "only health is on this port");
    }
    // Knobs are for hands that have no more than a URL to type.
    if !knob && request.method != "GET" && request.method != "HEAD" {
        return message(405, "the albums are read-only");
    }
    match (first, rest) {
        ("health", Some(name)) => match Health::named(name) {
            Some(health) => healthy(health, state.is_well(health)),
            None => message(404, "no such health"),
        },
        ("admin", Some(name)) if knob => turn(name, request, state),
        (first, id) if first == settings.resource => albums(request, id),
        _ => message(404, "no such path"),
    }
}

fn albums(request: &Request, id: Option<&str>) -> Outcome {
    let delay = match request.query("delay").map(|value| duration("delay", value)) {
        None => Duration::ZERO,
        Some(Ok(delay)) if delay <= LONGEST_DELAY => delay,
        Some(Ok(_)) => return message(400, "delay: at most 60s"),
        Some(Err(wrong)) => return message(400, &wrong.replace(['"', '\\'], "'")),
    };
    let body = match id {
        None | Some("") => Some(catalogue::list()),
        Some(id) => catalogue::find(id),
    };
    let mut outcome = match body {
        Some(body) => Outcome {
            answer: Answer { status: 200, body },
            ..Outcome::default()
        },
        None => message(404, "album not found"),
    };
    outcome.delay = delay;
    outcome
}

fn healthy(health: Health, well: bool) -> Outcome {
    let (good, bad) = match health {
        Health::Startup => ("started", (503, "starting")),
        Health::Readiness => ("ready", (503, "not ready")),
        Health::Liveness => ("alive", (500, "unhealthy")),
    };
    let (status, word) = if well { (200, good) } else { bad };
    json(status, "status", word)
}

/// The knobs for tests.
fn turn(name: &str, request: &Request, state: &State) -> Outcome {
    let done = |then| Outcome {
        then,
        ..message(200, "done")
    };
    match name {
        "exit" => match request.query("code").unwrap_or("1").parse() {
            Ok(code) => done(Then::Exit(code)),
            Err(_) => message(400, "code: expected a number"),
        },
        "stop" => done(Then::Stop),
        "hang" => {
            state.hang();
            done(Then::Nothing)
        }
        name => match (Health::named(name), request.query("ok")) {
            (Some(health), Some(well @ ("true" | "false"))) => {
                state.set(health, well == "true");
                done(Then::Nothing)
            }
            (Some(_), _) => message(400, "ok: expected true or false"),
            (None, _) => message(404, "no such knob"),
        },
    }
}

fn message(status: u16, text: &str) -> Outcome {
    json(status, "message", text)
}

fn json(status: u16, key: &str, text: &str) -> Outcome {
    Outcome {
        answer: Answer {
            status,
            body: format!("{{\"{key}\": \"{text}\"}}"),
        },
        ..Outcome::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::request;
    use crate::settings::{self, Command};

    fn settings(knobs: bool) -> Settings {
        let command = settings::parse(&[], |name| match name {
            "RESOURCE" => Some("albums".into()),
            "ALBUMS_TEST_KNOBS" if knobs => Some("1".into()),
            _ => None,
        });
        match command {
            Ok(Command::Serve(settings)) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn ask(state: &State, port: Port, line: &str) -> Outcome {
        let text = format!("{line} HTTP/1.1\r\n\r\n");
        let request = request::read(&mut text.as_bytes()).unwrap();
        answer(&request, port, &settings(true), state)
    }

    fn status(state: &State, port: Port, line: &str) -> u16 {
        ask(state, port, line).answer.status
    }

    #[test]
    fn albums_are_on_the_port_of_albums_and_health_is_on_both() {
        let state = State::new(Duration::ZERO);
        for (line, app, health) in [
            ("GET /albums", 200, 404),
            ("GET /albums/", 200, 404),
            ("HEAD /albums/2", 200, 404),
            ("GET /albums/9", 404, 404),
            ("GET /", 404, 404),
            ("GET /albumsx", 404, 404),
            ("POST /albums", 405, 404),
            ("GET /health/startup", 200, 200),
            ("GET /health/readiness", 200, 200),
            ("GET /health/liveness", 200, 200),
            ("GET /health/other", 404, 404),
            ("GET /health", 404, 404),
            ("GET /admin/readiness?ok=true", 200, 404),
        ] {
            assert_eq!(status(&state, Port::App, line), app, "{line}");
            assert_eq!(status(&state, Port::Health, line), health, "{line}");
        }
    }

    #[test]
    fn an_answer_takes_the_time_it_was_asked_to() {
        let state = State::new(Duration::ZERO);
        let outcome = ask(&state, Port::App, "GET /albums/1?delay=250ms");
        assert_eq!(outcome.delay, Duration::from_millis(250));
        for wrong in ["4", "61s", "\"", "-1s"] {
            let line = format!("GET /albums?delay={wrong}");
            assert_eq!(status(&state, Port::App, &line), 400, "{line}");
        }
    }

    #[test]
    fn each_kind_of_health_fails_by_itself() {
        let kinds = ["startup", "readiness", "liveness"];
        for failing in kinds {
            let state = State::new(Duration::ZERO);
            assert_eq!(
                status(
                    &state,
                    Port::App,
                    &format!("POST /admin/{failing}?ok=false")
                ),
                200
            );
            for kind in kinds {
                let got = status(&state, Port::Health, &format!("GET /health/{kind}"));
                assert_eq!(got == 200, kind != failing, "{kind} with {failing} failing");
            }
            ask(&state, Port::App, &format!("GET /admin/{failing}?ok=true"));
            assert_eq!(
                status(&state, Port::Health, &format!("GET /health/{failing}")),
                200
            );
        }
    }

    #[test]
    fn a_program_that_starts_is_alive_but_not_ready() {
        let state = State::new(Duration::from_secs(3600));
        for (kind, expected) in [("startup", 503), ("readiness", 503), ("liveness", 200)] {
            assert_eq!(
                status(&state, Port::Health, &format!("GET /health/{kind}")),
                expected
            );
        }
    }

    #[test]
    fn a_program_that_stops_is_alive_but_not_ready() {
        let state = State::new(Duration::ZERO);
        assert_eq!(ask(&state, Port::App, "GET /admin/stop").then, Then::Stop);
        state.stop();
        for (kind, expected) in [("startup", 200), ("readiness", 503), ("liveness", 200)] {
            assert_eq!(
                status(&state, Port::Health, &format!("GET /health/{kind}")),
                expected
            );
        }
    }

    #[test]
    fn knobs_are_there_for_tests_only() {
        let state = State::new(Duration::ZERO);
        let text = "GET /admin/exit?code=3 HTTP/1.1\r\n\r\n";
        let request = request::read(&mut text.as_bytes()).unwrap();
        let outcome = answer(&request, Port::App, &settings(true), &state);
        assert_eq!(outcome.then, Then::Exit(3));
        let outcome = answer(&request, Port::App, &settings(false), &state);
        assert_eq!((outcome.answer.status, outcome.then), (404, Then::Nothing));
        for wrong in ["exit?code=x", "liveness", "liveness?ok=no"] {
            assert_eq!(
                status(&state, Port::App, &format!("GET /admin/{wrong}")),
                400
            );
        }
        assert_eq!(status(&state, Port::App, "GET /admin/other"), 404);
    }
}
