//! A server on loopback that speaks S3, over a folder.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use vivace::store::Backend;
use vivace::store::Config;
use vivace::store::S3;
use vivace::store::Secret;

pub(crate) fn s3_config(endpoint: String) -> Config {
    let s3 = S3 {
        bucket: "traces".to_owned(),
        endpoint,
        access_key: "key".to_owned(),
        secret_key: Secret::new("secret"),
        insecure: true,
        forcepathstyle: true,
        retry_backoff_initial: Duration::from_millis(1),
        ..S3::default()
    };
    Config { backend: Backend::S3, s3, ..Config::default() }
}

/// How the server answers a create of an object that is there.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Creates {
    Refused,
    /// As by a server that does not know the condition.
    Overwrite,
}

/// A server on a free port of loopback, which stops with the runtime of the test.
pub(crate) async fn s3_server(folder: &TempDir, creates: Creates) -> String {
    std::fs::create_dir(folder.path().join("traces")).unwrap();
    let service = {
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        builder.build()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // This server looks for the object first and writes it then; S3 does it in one step. So: one write at a time.
    let writes = Arc::new(tokio::sync::Mutex::new(()));
    let root = folder.path().to_owned();
    let service = service_fn(move |request: Request<Incoming>| {
        let (service, writes, root) = (service.clone(), Arc::clone(&writes), root.clone());
        async move {
            if request.method() != Method::PUT {
                return service.call(request.map(s3s::Body::from)).await;
            }
            let _one = writes.lock().await;
            if creates == Creates::Overwrite {
                let path = request.uri().path().replace("%40", "@");
                std::fs::remove_file(format!("{}{}", root.display(), path)).ok();
            }
            service.call(request.map(s3s::Body::from)).await
        }
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let http = Builder::new(TokioExecutor::new());
                // A client that goes away is no failure.
                http.serve_connection(TokioIo::new(socket), service).await.ok();
            });
        }
    });
    address.to_string()
}
