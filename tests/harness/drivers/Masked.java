// JDBC reads masked columns through the bastion: `java -cp postgresql.jar Masked.java PORT USER`.
// Prints `fine`.
import java.io.ByteArrayOutputStream;
import java.io.StringWriter;
import java.sql.*;
import org.postgresql.PGConnection;

public class Masked {
  static void check(boolean fine, String what) {
    if (!fine) throw new AssertionError(what);
  }

  static void row(ResultSet rows, boolean more) throws SQLException {
    check(rows.next(), "a row");
    check("[masked]".equals(rows.getString("ssn")), "text: " + rows.getString("ssn"));
    check(rows.getDate("born") == null && rows.wasNull(), "a date");
    check(rows.getInt("id") == 1, "an integer");
    check(more || !rows.next(), "one row");
  }

  static void round(String url) throws Exception {
    try (Connection connection = DriverManager.getConnection(url)) {
      String sql = "SELECT id, ssn, born FROM people WHERE id = ?";
      try (PreparedStatement one = connection.prepareStatement(sql)) {
        for (int i = 0; i < 7; i++) { // from the fifth on it is prepared, and binary
          one.setInt(1, 1);
          row(one.executeQuery(), false);
        }
      }
      connection.setAutoCommit(false);
      try (Statement cursor = connection.createStatement()) {
        cursor.setFetchSize(1);
        row(cursor.executeQuery("SELECT * FROM people ORDER BY id"), true);
      }
      connection.commit();
      connection.setAutoCommit(true);
      String update = "UPDATE people SET name = name WHERE id = ?";
      int keys = Statement.RETURN_GENERATED_KEYS;
      try (PreparedStatement one = connection.prepareStatement(update, keys)) {
        one.setInt(1, 1);
        one.executeUpdate();
        row(one.getGeneratedKeys(), false);
      }
      var copies = connection.unwrap(PGConnection.class).getCopyAPI();
      var text = new StringWriter();
      copies.copyOut("COPY people (ssn, id) TO STDOUT", text);
      check(text.toString().contains("[masked]\t1\n"), text.toString());
      var binary = new ByteArrayOutputStream();
      copies.copyOut("COPY people TO STDOUT (FORMAT binary)", binary);
      check(!binary.toString("latin1").contains("123-45"), "a binary copy");
      try (Statement batch = connection.createStatement()) {
        batch.addBatch("INSERT INTO paths VALUES ('a')");
        batch.addBatch("INSERT INTO paths VALUES ('C:\\new')");
        check(batch.executeBatch().length == 2, "a batch with a backslash");
      }
      check(connection.getMetaData().getColumns(null, "public", "%", "%").next(), "metadata");
    }
  }

  public static void main(String[] words) throws Exception {
    String url = "jdbc:postgresql://127.0.0.1:" + words[0] + "/app?sslmode=disable&user=" + words[1];
    for (String options : new String[] {"", "&prepareThreshold=-1", "&preferQueryMode=simple"})
      round(url + options);
    System.out.println("fine");
  }
}
