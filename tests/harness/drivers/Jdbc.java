// PostgreSQL's JDBC driver through the bastion: `java -cp postgresql.jar Jdbc.java PORT`. Prints `fine`.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import org.postgresql.PGConnection;

public class Jdbc {
  static void check(boolean fine, String what) {
    if (!fine) throw new AssertionError(what);
  }

  static void refused(Connection connection, String sql, String state) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      statement.execute(sql);
    } catch (SQLException error) {
      check(error.getSQLState().equals(state), error.toString());
      return;
    }
    throw new AssertionError(sql + " ran");
  }

  static void batches(Connection connection) throws Exception {
    connection.createStatement().execute("CREATE TEMP TABLE j (id int, v text)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO j VALUES (?, ?)")) {
      for (int i = 0; i < 300; i++) {
        insert.setInt(1, i);
        insert.setString(2, "v" + i);
        insert.addBatch();
      }
      check(insert.executeBatch().length == 300, "batch");
    }
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(50);
      ResultSet rows = statement.executeQuery("SELECT * FROM j");
      int count = 0;
      while (rows.next()) count++;
      check(count == 300, "cursor");
    }
    var copies = connection.unwrap(PGConnection.class).getCopyAPI();
    check(copies.copyIn("COPY j FROM STDIN", new StringReader("9\tx\n")) == 1, "copy in");
    check(copies.copyOut("COPY j TO STDOUT", new StringWriter()) == 301, "copy out");
    refused(connection, "DROP TABLE t", "42501");
    boolean saved = connection.unwrap(PGConnection.class).getAutosave().value().equals("always");
    if (!saved) refused(connection, "SELECT 1", "25P02");
    connection.rollback();
    connection.setAutoCommit(true);
  }

  static void round(String url) throws Exception {
    try (Connection connection = DriverManager.getConnection(url)) {
      try (PreparedStatement one = connection.prepareStatement("SELECT ?::int + 1")) {
        for (int i = 0; i < 7; i++) {
          one.setInt(1, i);
          ResultSet rows = one.executeQuery();
          check(rows.next() && rows.getInt(1) == i + 1, "prepared");
        }
      }
      batches(connection);
      DatabaseMetaData about = connection.getMetaData();
      check(about.getTables(null, "public", "t", null).next(), "tables");
      check(about.getColumns(null, "public", "t", "%").next(), "columns");
      check(about.getPrimaryKeys(null, null, "t").next(), "keys");
      refused(connection, "SELECT pg_sleep(60)", "57014");
      refused(connection, "DROP TABLE t", "42501");
      ResultSet rows = connection.createStatement().executeQuery("SELECT 1");
      check(rows.next(), "usable");
    }
  }

  public static void main(String[] words) throws Exception {
    String url = "jdbc:postgresql://127.0.0.1:" + words[0] + "/app?user=app";
    round(url);
    round(url + "&prepareThreshold=1&autosave=always");
    System.out.println("fine");
  }
}
