//! Certificates: those of all listeners, and which listener speaks TLS.

use std::path::PathBuf;

use crate::model::Bind;
use crate::problem::{Place, Problem};
use crate::settings::Kind::{Choice, Text};
use crate::settings::Preset::Said;
use crate::settings::{Section, Setting};
use crate::sheet::Answers;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What the hub shows of itself.
    pub files: TlsFiles,
    /// Whoever begins otherwise is refused.
    pub is_required: bool,
}

/// A certificate with its key, as files of PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The certificate, and behind it those that vouch for it, up to one that clients know.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

const fn setting(
    section: Section,
    key: &'static str,
    kind: crate::settings::Kind,
    preset: &'static str,
    help: &'static str,
) -> Setting {
    Setting { section, key, kind, preset: Said(preset), help }
}

/// The settings of certificates, in `[tls]` and in each `[[listener]]`.
pub(crate) const TABLE: &[Setting] = &[
    setting(
        Section::Tls,
        "certificate",
        Text,
        "none: TLS is not spoken",
        "The file (PEM) with the certificate of the hub, and behind it those that vouch for it. It needs `key`. A relative \
         path begins where the hub is started. Both files are read again at SIGHUP.",
    ),
    setting(Section::Tls, "key", Text, "none", "The file (PEM) with the private key of `certificate`."),
    setting(
        Section::Listener,
        "tls",
        Choice(&["off", "optional", "required"]),
        "`optional` on TCP if there is a certificate, else `off`",
        "Whether TLS is spoken here. `optional`: whoever begins with a TLS handshake speaks TLS, and everybody else \
         without; `required`: everybody else is refused. Inside of TLS the first bytes tell protocols apart as they do \
         without. It needs a certificate, here or in `[tls]`.",
    ),
    setting(
        Section::Listener,
        "certificate",
        Text,
        "what `[tls]` says",
        "The same as in `[tls]`, for this listener only. It needs `key` beside it.",
    ),
    setting(
        Section::Listener,
        "key",
        Text,
        "what `[tls]` says",
        "The private key of this listener's `certificate`.",
    ),
];

/// The files that a section names; none if it names none. That one is missing goes to `problems`.
pub(crate) fn files(answers: &Answers, section: Section, problems: &mut Vec<Problem>) -> Option<TlsFiles> {
    let (certificate, key) = (answers.text(section, "certificate"), answers.text(section, "key"));
    match (certificate, key) {
        (Some((certificate, _)), Some((key, _))) => {
            Some(TlsFiles { certificate: certificate.into(), key: key.into() })
        }
        (None, None) => None,
        (Some((_, place)), None) => {
            fail(problems, place, "`certificate` needs the file of its private key, `key`")
        }
        (None, Some((_, place))) => {
            fail(problems, place, "`key` is the private key of a `certificate`, and there is none")
        }
    }
}

/// How a listener speaks TLS, if it does. `of_all` is what `[tls]` says.
pub(crate) fn listener(
    bind: &Bind,
    answers: &Answers,
    of_all: Option<&TlsFiles>,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let own = files(answers, Section::Listener, problems);
    let written = answers.words(Section::Listener, "tls").map(|(words, place)| (words[0], place));
    if let Some((_, place)) = answers.text(Section::Listener, "certificate")
        && let Some(why) = match (bind, written) {
            (Bind::Udp(_), _) => Some("carries datagrams, which TLS does not protect"),
            (_, Some(("off", _))) => Some("does not speak TLS, since its `tls` is \"off\""),
            _ => None,
        }
    {
        return fail(problems, place, &format!("`certificate` is of no use: {bind} {why}; leave it out"));
    }
    let found = own.or_else(|| of_all.cloned());
    let is_required = match (written, bind) {
        (Some(("off", _)), _) => return None,
        (Some((_, place)), Bind::Udp(_)) => {
            let why = format!("`tls` is for streams, and {bind} carries datagrams; leave it out");
            return fail(problems, place, &why);
        }
        (Some((_, place)), _) if found.is_none() => {
            let why = format!(
                "`tls` of {bind} needs a certificate; name the files `certificate` and `key` in [tls] or in this \
                 [[listener]]"
            );
            return fail(problems, place, &why);
        }
        (Some((word, _)), _) => word == "required",
        (None, Bind::Tcp(_)) => false,
        // Nobody listens in on what stays on this machine.
        (None, Bind::Unix(_)) if answers.was_written(Section::Listener, "certificate") => false,
        (None, Bind::Unix(_) | Bind::Udp(_)) => return None,
    };
    Some(Tls { files: found?, is_required })
}

fn fail<T>(problems: &mut Vec<Problem>, place: &Place, why: &str) -> Option<T> {
    problems.push(Problem { place: place.clone(), reason: why.to_owned() });
    None
}
