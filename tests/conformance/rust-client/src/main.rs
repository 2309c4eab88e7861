//! The conformance set in tokio-postgres: each case on a connection of its own, answers as JSON lines on stdout.
//!
//! It must never decide what is right: the runner compares what it prints, direct and through the gateway.

use std::fmt::Write as _;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, poll_fn};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::{FromSql, Kind, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, SimpleQueryMessage};

type Problem = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<Value, Problem>;
type Heard = Arc<Mutex<Vec<String>>>;

const BIG: usize = 9 << 20;

/// A cell as the wire had it.
struct Raw(String);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Problem> {
        Ok(Self(format!("{} {}", ty.name(), bytes_as_text(raw))))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn bytes_as_text(data: &[u8]) -> String {
    let mut out = String::new();
    let hashed;
    let shown = if data.len() > 200 {
        hashed = sha2::Sha256::digest(data);
        let _ = write!(out, "{} bytes sha256 ", data.len());
        hashed.as_slice()
    } else {
        data
    };
    for byte in shown {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn rows(found: &[Row]) -> Answer {
    let mut out = Vec::new();
    if let Some(row) = found.first() {
        let columns = row.columns().iter();
        out.push(json!(
            columns
                .map(|c| format!("{} {:?} {:?} {:?}", c.name(), c.table_oid(), c.column_id(), c.type_()))
                .collect::<Vec<_>>()
        ));
    }
    for row in found {
        let cells = (0..row.len()).map(|i| Ok(row.try_get::<_, Option<Raw>>(i)?.map(|r| r.0)));
        out.push(json!(cells.collect::<Result<Vec<_>, Problem>>()?));
    }
    Ok(Value::Array(out))
}

fn messages(found: &[SimpleQueryMessage]) -> Value {
    let show = |m: &SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(r) => json!((0..r.len()).map(|i| r.try_get(i).ok().flatten()).collect::<Vec<_>>()),
        SimpleQueryMessage::CommandComplete(n) => json!(n),
        SimpleQueryMessage::RowDescription(c) => json!(c.iter().map(|c| c.name().to_owned()).collect::<Vec<_>>()),
        _ => Value::Null,
    };
    Value::Array(found.iter().map(show).collect())
}

/// What the server said when it refused; any other failure is a crash of the case.
fn refusal<T>(result: Result<T, tokio_postgres::Error>) -> Answer {
    let Err(e) = result else { return Ok(json!("no error")) };
    let Some(d) = e.as_db_error() else { return Err(e.into()) };
    let position = d.position().map(|p| match p {
        ErrorPosition::Original(n) => json!(n),
        ErrorPosition::Internal { position, query } => json!([position, query]),
    });
    // Errors that the gateway may answer by itself: where in the server's source they were raised is not compared.
    let routine = d.routine().filter(|_| !matches!(d.code().code(), "42601" | "26000"));
    Ok(
        json!({"state": d.code().code(), "severity": d.severity(), "message": d.message(), "detail": d.detail(), "hint": d.hint(),
        "position": position, "constraint": d.constraint(), "table": d.table(), "column": d.column(), "where": d.where_(), "routine": routine}),
    )
}

async fn connect(way: &Value) -> Result<(Client, Heard), Problem> {
    let text = |name: &str| way.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut config = Config::new();
    config.host(text("host")).user(text("user")).password(text("password")).dbname(text("dbname"));
    config.port(way.get("port").and_then(Value::as_u64).and_then(|p| p.try_into().ok()).unwrap_or_default());
    let (client, mut connection) = config.connect(NoTls).await?;
    let heard = Heard::default();
    let sink = heard.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            let line = match message {
                AsyncMessage::Notice(n) => format!("notice {} {} {}", n.severity(), n.code().code(), n.message()),
                AsyncMessage::Notification(n) => format!("notification {} {}", n.channel(), n.payload()),
                _ => continue,
            };
            if let Ok(mut lines) = sink.lock() {
                lines.push(line);
            }
        }
    });
    Ok((client, heard))
}

async fn simple(c: &Client) -> Answer {
    c.batch_execute("select 1; select 2").await?;
    Ok(json!([
        messages(&c.simple_query("select 1 as one, 'zwei' as two, null as three; select * from notes order by id").await?),
        messages(&c.simple_query("insert into notes values (50, 'fifty'); select body from notes where id = 50; delete from notes where id = 50").await?),
        messages(&c.simple_query("").await?),
        refusal(c.simple_query("insert into notes values (51, 'x'); select 1/0").await)?,
        messages(&c.simple_query("select count(*) from notes where id = 51").await?),
    ]))
}

async fn every_type(c: &Client) -> Answer {
    rows(&c.query("select * from every_type order by id", &[]).await?)
}

async fn parameters(c: &Client) -> Answer {
    let mut out = Vec::new();
    let values: [(&str, &(dyn ToSql + Sync)); 9] = [
        ("int2", &5_i16),
        ("int8", &(1_i64 << 40)),
        ("float8", &1.25_f64),
        ("text", &"ä€漢🐘"),
        ("bytea", &[0_u8, 255].as_slice()),
        ("bool", &true),
        ("int4[]", &[Some(1_i32), None].as_slice()),
        ("text[]", &["a,b", "c\"d"].as_slice()),
        ("int4", &None::<i32>),
    ];
    for (name, value) in values {
        out.push(rows(
            &c.query(&format!("select $1::{name} as v, pg_typeof($1::{name})::text as t"), &[value]).await?,
        )?);
    }
    Ok(Value::Array(out))
}

async fn prepared_reused(c: &Client) -> Answer {
    let one = c.prepare("select name from customers where id = $1").await?;
    let two = c.prepare("select id, total, placed from orders where customer_id = $1 order by id").await?;
    let mut out = vec![json!(format!(
        "{:?} {:?}",
        one.params(),
        two.columns().iter().map(|k| k.type_().name()).collect::<Vec<_>>()
    ))];
    for i in 1..12_i32 {
        out.push(rows(&c.query(&one, &[&i]).await?)?);
        out.push(rows(&c.query(&two, &[&i]).await?)?);
    }
    let kind = c.prepare("select m, ad from every_type").await?;
    out.push(json!(
        kind.columns()
            .iter()
            .map(|k| matches!(k.type_().kind(), Kind::Enum(_) | Kind::Composite(_)))
            .collect::<Vec<_>>()
    ));
    Ok(Value::Array(out))
}

async fn concurrent(c: &Client) -> Answer {
    let statement = c.prepare("select 100 / $1::int4 as q").await?;
    let all = join_all((0..200_i32).map(|i| {
        let statement = statement.clone();
        async move {
            match c.query_one(&statement, &[&(i % 50)]).await {
                Ok(row) => Ok(json!(row.try_get::<_, i32>(0)?)),
                Err(e) => refusal(Err::<(), _>(e)),
            }
        }
    }));
    all.await.into_iter().collect::<Result<Vec<_>, Problem>>().map(Value::Array)
}

async fn portals(c: &mut Client) -> Answer {
    let tx = c.transaction().await?;
    let portal = tx.bind("select id, name from customers order by id", &[]).await?;
    let mut out = Vec::new();
    for limit in [3, 500, 1000, 1] {
        let found = tx.query_portal(&portal, limit).await?;
        out.push(json!([found.len(), rows(found.get(..found.len().min(2)).unwrap_or_default())?]));
    }
    tx.rollback().await?;
    Ok(Value::Array(out))
}

async fn transactions(c: &mut Client) -> Answer {
    let mut out = Vec::new();
    let mut tx = c.transaction().await?;
    tx.execute("insert into notes values (70, 'outer')", &[]).await?;
    let inner = tx.transaction().await?;
    out.push(refusal(inner.execute("insert into notes values (70, 'again')", &[]).await)?);
    out.push(refusal(inner.query("select 1", &[]).await)?);
    inner.rollback().await?;
    out.push(rows(&tx.query("select * from notes where id = 70", &[]).await?)?);
    tx.rollback().await?;
    out.push(rows(&c.query("select * from notes where id = 70", &[]).await?)?);
    let tx = c.build_transaction().read_only(true).start().await?;
    out.push(refusal(tx.execute("insert into notes values (71, 'x')", &[]).await)?);
    tx.commit().await?;
    Ok(Value::Array(out))
}

async fn copy(c: &Client) -> Answer {
    let mut out = Vec::new();
    for form in ["text", "csv", "binary"] {
        let text = format!("copy (select * from every_type order by id) to stdout (format {form})");
        let chunks: Vec<Bytes> = c.copy_out(&text).await?.try_collect().await?;
        out.push(json!(bytes_as_text(&chunks.concat())));
    }
    let mut sink = Box::pin(c.copy_in("copy notes from stdin").await?);
    for i in 0..20_000 {
        sink.as_mut().feed(Bytes::from(format!("{}\tnote {i}\n", 1000 + i))).await?;
    }
    out.push(json!(sink.as_mut().finish().await?));
    let mut bad = Box::pin(c.copy_in("copy notes from stdin").await?);
    bad.as_mut().send(Bytes::from_static(b"1\tduplicate\n")).await?;
    out.push(refusal(bad.as_mut().finish().await)?);
    let given_up = Box::pin(c.copy_in::<_, Bytes>("copy notes from stdin").await?);
    drop(given_up);
    out.push(messages(
        &c.simple_query("select count(*), sum(length(body)) from notes; delete from notes where id >= 1000").await?,
    ));
    Ok(Value::Array(out))
}

async fn listening(c: &Client, heard: &Heard) -> Answer {
    c.batch_execute("do $$ begin raise notice 'hello %', 1; raise warning 'careful'; end $$").await?;
    c.batch_execute("listen news; notify news, 'first'; select pg_notify('news', 'second')").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    c.batch_execute("select 1").await?;
    Ok(json!(heard.lock().map(|lines| lines.clone()).unwrap_or_default()))
}

async fn errors(c: &Client) -> Answer {
    let mut out = Vec::new();
    for text in [
        "selekt 1",
        "select nothing",
        "select 1/0",
        "select 'x'::int",
        "insert into customers values (1, 'again')",
        "insert into notes values (null)",
        "select 101::percent",
        "select f(1)",
        "select 'ä€' || syntax error here",
    ] {
        out.push(json!([text, refusal(c.query(text, &[]).await)?, refusal(c.simple_query(text).await)?]));
    }
    out.push(rows(&c.query("select 'usable'", &[]).await?)?);
    Ok(Value::Array(out))
}

async fn cancel(c: &Client) -> Answer {
    let token = c.cancel_token();
    let asked = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    };
    let (result, sent) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(10), c.query("select pg_sleep(30)", &[])), asked);
    sent?;
    Ok(json!([refusal(result?)?, rows(&c.query("select 'usable'", &[]).await?)?]))
}

async fn big_result(c: &Client) -> Answer {
    let no: [&str; 0] = [];
    let mut found = Box::pin(c.query_raw("select g, md5(g::text) from generate_series(1, 1000000) g", no).await?);
    let (mut hash, mut count) = (sha2::Sha256::new(), 0_u64);
    while let Some(row) = found.next().await {
        let row = row?;
        count += 1;
        hash.update(row.try_get::<_, i32>(0)?.to_be_bytes());
        hash.update(row.try_get::<_, &str>(1)?);
    }
    Ok(json!([count, bytes_as_text(&hash.finalize())]))
}

async fn large_values(c: &Client) -> Answer {
    let text = "x".repeat(BIG);
    Ok(json!([
        rows(&c.query("select repeat('0123456789', 5000000)", &[]).await?)?,
        rows(&c.query("select $1::text", &[&text]).await?)?,
        rows(&c.query(&format!("select length('{text}')"), &[]).await?)?,
    ]))
}

type CaseFuture<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;
type Case = for<'a> fn(&'a mut Client, &'a Heard) -> CaseFuture<'a>;

const CASES: [(&str, Case); 13] = [
    ("simple", |c, _| Box::pin(simple(c))),
    ("every_type", |c, _| Box::pin(every_type(c))),
    ("parameters", |c, _| Box::pin(parameters(c))),
    ("prepared_reused", |c, _| Box::pin(prepared_reused(c))),
    ("concurrent", |c, _| Box::pin(concurrent(c))),
    ("portals", |c, _| Box::pin(portals(c))),
    ("transactions_and_savepoints", |c, _| Box::pin(transactions(c))),
    ("copy", |c, _| Box::pin(copy(c))),
    ("notices_and_notifications", |c, heard| Box::pin(listening(c, heard))),
    ("errors", |c, _| Box::pin(errors(c))),
    ("cancel", |c, _| Box::pin(cancel(c))),
    ("big_result", |c, _| Box::pin(big_result(c))),
    ("large_values", |c, _| Box::pin(large_values(c))),
];

async fn run(way: &Value, case: Case) -> Answer {
    let (mut client, heard) = connect(way).await?;
    case(&mut client, &heard).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("which endpoint? give the JSON file that describes it")?;
    let way: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let only: Vec<String> = arguments.collect();
    for (name, case) in CASES {
        if !only.is_empty() && !only.iter().any(|o| o == name) {
            continue;
        }
        let line = match run(&way, case).await {
            Ok(out) => json!({"case": name, "out": out}),
            Err(e) => json!({"case": name, "crash": format!("{e:?}")}),
        };
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
