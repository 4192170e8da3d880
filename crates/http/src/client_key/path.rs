use std::sync::Arc;

use http::Request;
use watertight_core::{ConfigError, Key, KeyBy};

use super::ClientKey;

/// Tells requests apart by the template that their path fits.
///
/// All of `/users/1` and `/users/2` is one key by the template `/users/{id}`, so that clients make
/// up no keys, and a limit knows as many as there are templates. The first template that fits
/// counts; a path that fits none has no key.
///
/// | in a template | fits |
/// | --- | --- |
/// | `{name}`, for a whole segment | one segment, which may be empty but at the end |
/// | `{*name}`, at the end | all that is left, if anything |
/// | all else | itself, byte by byte: `%75sers` is not `users`, nor `/users/` the same as `/users` |
///
/// These are the rules of axum's router. A service that reads paths in a more lenient way serves
/// some that fit no template here, and it is for the limit to say what becomes of those.
///
/// ```
/// use http::Request;
/// use watertight_core::KeyBy;
/// use watertight_http::PathKey;
///
/// # fn main() -> Result<(), watertight_core::ConfigError> {
/// let key = PathKey::new(["/users/me", "/users/{id}", "/files/{*path}"])?;
/// let of = |path: &str| key.key(&Request::get(path).body(()).unwrap());
///
/// assert_eq!(of("/users/1"), of("/users/2"));
/// assert_ne!(of("/users/1"), of("/users/me"));
/// assert_eq!(of("/files/a/b"), of("/files/c"));
/// assert_eq!(of("/admin"), None);
/// # Ok(())
/// # }
/// ```
///
/// Where a router has found the template already, a closure takes it from there; in axum,
/// `.key(|request: &Request<_>| Some(Key::of(request.extensions().get::<MatchedPath>()?.as_str())))`.
#[derive(Clone, Debug)]
pub struct PathKey {
    templates: Arc<[Template]>,
}

#[derive(Debug)]
struct Template {
    text: String,
    segments: Vec<Segment>,
    key: Key,
}

#[derive(Debug)]
enum Segment {
    Literal(String),
    /// `{name}`.
    Any,
    /// `{*name}`.
    Rest,
}

impl PathKey {
    /// Tells requests apart by `templates`.
    ///
    /// # Errors
    ///
    /// If one of them does not begin with `/`, or has a brace in a place where it means nothing.
    pub fn new<T: AsRef<str>>(templates: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let templates = templates
            .into_iter()
            .map(|text| Template::new(text.as_ref()));
        Ok(Self {
            templates: templates.collect::<Result<_, _>>()?,
        })
    }

    fn template<B>(&self, request: &Request<B>) -> Option<&Template> {
        let path = request.uri().path();
        self.templates.iter().find(|it| it.fits(path))
    }
}

impl ClientKey for PathKey {}

impl<B> KeyBy<Request<B>> for PathKey {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.template(request).map(|it| it.key)
    }

    fn label(&self, request: &Request<B>) -> Option<String> {
        self.template(request).map(|it| it.text.clone())
    }
}

impl Template {
    fn new(text: &str) -> Result<Self, ConfigError> {
        let allowed = "a path such as `/users/{id}` or `/files/{*path}`";
        let segments = segments(text);
        Ok(Self {
            segments: segments.ok_or_else(|| ConfigError::new("templates", text, allowed))?,
            key: Key::of(("path", text)),
            text: text.to_owned(),
        })
    }

    fn fits(&self, path: &str) -> bool {
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let Some(left) = rest else { return false };
            let (first, others) = match left.split_once('/') {
                Some((first, others)) => (first, Some(others)),
                None => (left, None),
            };
            let fits = match segment {
                Segment::Literal(text) => first == text,
                Segment::Any => !left.is_empty(),
                Segment::Rest => return !left.is_empty(),
            };
            if !fits {
                return false;
            }
            rest = others;
        }
        rest.is_none()
    }
}

fn segments(template: &str) -> Option<Vec<Segment>> {
    let parts = template.strip_prefix('/')?.split('/');
    let segments: Vec<_> = parts.map(segment).collect::<Option<_>>()?;
    let (_, before) = segments.split_last()?;
    let is_rest = |segment: &Segment| matches!(segment, Segment::Rest);
    (!before.iter().any(is_rest)).then_some(segments)
}

fn segment(text: &str) -> Option<Segment> {
    let has_brace = |text: &str| text.contains(['{', '}']);
    let Some(inner) = text.strip_prefix('{') else {
        return (!has_brace(text)).then(|| Segment::Literal(text.to_owned()));
    };
    let inner = inner.strip_suffix('}')?;
    let (name, segment) = match inner.strip_prefix('*') {
        Some(name) => (name, Segment::Rest),
        None => (inner, Segment::Any),
    };
    (!name.is_empty() && !has_brace(name) && !name.contains('*')).then_some(segment)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn fits(template: &str, path: &str) -> bool {
        Template::new(template).unwrap().fits(path)
    }

    #[test]
    fn a_template_fits_what_it_says() {
        let table = [
            ("/", "/", true),
            ("/", "", false),
            ("/", "*", false),
            ("/", "//", false),
            ("/users", "/users", true),
            ("/users", "/users/", false),
            ("/users/", "/users", false),
            ("/users", "/Users", false),
            ("/users", "/%75sers", false),
            ("/users/{id}", "/users/1", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users", false),
            ("/users/{id}", "/users/1/", false),
            ("/users/{id}", "/users/1/items", false),
            ("/users/{id}/items", "/users/1/items", true),
            ("/users/{id}/items", "/users//items", true),
            ("/files/{*path}", "/files/a/b/", true),
            ("/files/{*path}", "/files//", true),
            ("/files/{*path}", "/files/", false),
            ("/files/{*path}", "/files", false),
            ("/{*path}", "/", false),
        ];

        for (template, path, does) in table {
            assert_eq!(fits(template, path), does, "{template} {path}");
        }
    }

    #[test]
    fn the_first_that_fits_counts() {
        let label = |templates: [&str; 2], path: &str| {
            let key = PathKey::new(templates).unwrap();
            key.label(&Request::get(path).body(()).unwrap())
        };

        let (me, id) = ("/users/me", "/users/{id}");
        assert_eq!(label([me, id], "/users/me?x=1").as_deref(), Some(me));
        assert_eq!(label([id, me], "/users/me").as_deref(), Some(id));
        assert_eq!(label([me, id], "/orders/1"), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "", "users", "/{", "/}", "/{}", "/{*}", "/a{b}", "/{a}b", "/{a}{b}", "/{{a}}", "/{a*}",
            "/{*a}/b", "/{**a}",
        ] {
            let error = PathKey::new(["/", text]).unwrap_err();
            assert_eq!(error.field(), "templates", "{text}");
            assert_eq!(error.value(), format!("{text:?}"));
        }
    }

    proptest! {
        #[test]
        fn fits_what_axum_routes(template in vec("|a|b|\\{x\\}", 1..4), path in vec("|a|b|ab", 0..5), has_rest: bool) {
            let mut template = template;
            for (at, segment) in template.iter_mut().enumerate() {
                // A name may come once.
                *segment = segment.replace('x', &format!("x{at}"));
            }
            if has_rest {
                template.push("{*rest}".to_owned());
            }
            let template = format!("/{}", template.join("/"));
            let path = format!("/{}", path.join("/"));
            let mut router = matchit::Router::new();
            router.insert(template.as_str(), ()).unwrap();

            prop_assert_eq!(fits(&template, &path), router.at(&path).is_ok(), "{} {}", template, path);
        }

        #[test]
        fn any_template_is_read_or_refused(template in "[/{}*a]{0,12}", path in "[/a]{0,8}") {
            if let Ok(template) = Template::new(&template) {
                template.fits(&path);
            }
        }
    }
}
