import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.security.PasswordEncoder;

/** How Apache Kafka's brokers keep passwords in ZooKeeper: {encode|decode} SECRET ALGORITHM BITS TEXT. */
public final class Passwords {
    public static void main(String[] args) throws Exception {
        String algorithm = args[2].isEmpty() ? null : args[2];
        PasswordEncoder encoder = PasswordEncoder.encrypting(
            new Password(args[1]), algorithm, "AES/CBC/PKCS5Padding", Integer.parseInt(args[3]), 4096);
        if (args[0].equals("encode")) {
            System.out.print(encoder.encode(new Password(args[4])));
        } else {
            System.out.print(encoder.decode(args[4]).value());
        }
    }
}
