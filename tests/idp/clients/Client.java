// pgjdbc: Client READ REFUSED runs two statements and prints a JSON line. The driver reads no PG* variables, so this does.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public class Client {
    static final Map<String, String> PROPERTIES = Map.of("PGUSER", "user", "PGPASSWORD", "password", "PGSSLMODE", "sslmode",
        "PGSSLROOTCERT", "sslrootcert", "PGSSLCERT", "sslcert", "PGSSLKEY", "sslkey", "PEM_KEY_ALGORITHM", "pemKeyAlgorithm");

    static String json(String text) {
        return text == null ? "null" : "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ") + "\"";
    }

    static String message(SQLException e) {
        ServerErrorMessage s = e instanceof PSQLException p ? p.getServerErrorMessage() : null;
        if (s == null) return e.toString();
        List<String> parts = new ArrayList<>();
        for (String part : new String[] {s.getMessage(), s.getDetail(), s.getHint()}) if (part != null) parts.add(part);
        return String.join(" ", parts);
    }

    static List<String> rows(Statement s, String text) throws SQLException {
        List<String> out = new ArrayList<>();
        try (ResultSet r = s.executeQuery(text)) {
            while (r.next()) {
                List<String> row = new ArrayList<>();
                for (int i = 1; i <= r.getMetaData().getColumnCount(); i++) row.add(json(r.getString(i)));
                out.add("[" + String.join(", ", row) + "]");
            }
        }
        return out;
    }

    public static void main(String[] words) throws Exception {
        Properties p = new Properties();
        PROPERTIES.forEach((variable, name) -> {
            if (System.getenv(variable) != null) p.setProperty(name, System.getenv(variable));
        });
        p.setProperty("PGDBNAME", System.getenv("PGDATABASE"));
        p.setProperty("gssEncMode", "disable");
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/";
        String state = null, said = null;
        try (Connection c = DriverManager.getConnection(url, p); Statement s = c.createStatement()) {
            List<String> got = rows(s, words[0]);
            try {
                rows(s, words[1]);
            } catch (SQLException e) {
                state = e.getSQLState();
                said = message(e);
            }
            boolean usable = rows(s, "select 1").size() == 1;
            System.out.println("{\"rows\": [" + String.join(", ", got) + "], \"usable\": " + usable + ", \"state\": " + json(state)
                + ", \"message\": " + json(said) + "}");
        }
    }
}
